"""Write blocks as HCL, formatted as `terraform fmt` would format them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """An HCL expression, written unquoted."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its type and labels as written, then its attributes and inner blocks."""

    head: str
    body: tuple[tuple[str, Any] | Block, ...]


def render_hcl(blocks: Iterable[Block]) -> str:
    """Return the text of the blocks, separated by blank lines."""
    return "\n\n".join("\n".join(_lines(block)) for block in blocks) + "\n"


def _lines(block: Block, indent: str = "") -> Iterator[str]:
    yield f"{indent}{block.head} {{"
    attributes = [entry for entry in block.body if isinstance(entry, tuple)]
    blocks = [entry for entry in block.body if isinstance(entry, Block)]
    width = max((len(name) for name, _ in attributes), default=0)
    for name, value in attributes:
        yield f"{indent}  {name:<{width}} = {_expression(value)}"
    for number, inner in enumerate(blocks):
        if number or attributes:
            yield ""
        yield from _lines(inner, f"{indent}  ")
    yield f"{indent}}}"


def _expression(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, list):
        return f"[{', '.join(map(_expression, value))}]"
    # A JSON string is an HCL string, except where HCL would start a template.
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("${", "$${").replace("%{", "%%{")
