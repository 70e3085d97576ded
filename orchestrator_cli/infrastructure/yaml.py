"""Write plain data as YAML. Every YAML file of this room is written here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_:./*-]*[A-Za-z0-9]|[A-Za-z]", re.ASCII)
# Words that YAML 1.1 does not read as strings.
_RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def render_yaml(*documents: Mapping[str, Any]) -> str:
    """Return the documents as one YAML stream. Keys keep their order."""
    return "---\n".join("".join(_lines(_mapping(document, ""))) for document in documents)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    return (f"{text}\n" for text in texts)


def _mapping(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in mapping.items():
        head, *rest = _value(value, indent + "  ")
        yield f"{indent}{_scalar(name)}:{head}"
        yield from rest


def _sequence(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping | list | tuple) and item:
            first, *rest = _collection(item, indent + "  ")
            yield f"{indent}- {first.removeprefix(indent + '  ')}"
        else:
            first, *rest = _value(item, indent + "  ")
            yield f"{indent}-{first}"
        yield from rest


def _collection(value: Any, indent: str) -> Iterator[str]:
    return _mapping(value, indent) if isinstance(value, Mapping) else _sequence(value, indent)


def _value(value: Any, indent: str) -> Iterator[str]:
    """Yield the text after a key or a dash, then the lines below it."""
    if isinstance(value, Mapping | list | tuple) and value:
        yield ""
        yield from _collection(value, indent)
    elif isinstance(value, str) and _is_block(value):
        yield " |"
        yield from (f"{indent}{line}" for line in value.splitlines())
    else:
        yield f" {_scalar(value)}"


def _is_block(text: str) -> bool:
    """Return True if a literal block keeps the text unchanged: whole lines of printable text."""
    lines = text.split("\n")
    ends = len(lines) > 2 and lines[-1] == "" and lines[-2] != ""
    return ends and lines[0][:1] not in ("", " ") and all(map(str.isprintable, lines))


def _scalar(value: Any) -> str:
    text = str(value)
    if isinstance(value, str) and _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    # JSON is valid YAML, and its quotes keep the text from being read as another type.
    quoted = json.dumps(value, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(map(_escaped, quoted))


def _escaped(character: str) -> str:
    """Escape what YAML forbids in a file and JSON allows, such as C1 control characters."""
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
