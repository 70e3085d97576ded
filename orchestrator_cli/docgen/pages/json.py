"""orchestrator-json(7): the text of json.md with the fields of the models of `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from orchestrator_cli.cli.schemas.commands import OUTPUTS, CommandOutput, ListedExecution
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.docgen.manpages import JSON_PAGE, LAYOUT_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage

_TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "integer",
    "null": "null",
    "number": "number",
    "object": "object",
    "string": "text",
}
# Models that another page describes.
_ELSEWHERE = {
    ExecutionMetadata: f"The content of `metadata.json`: see `{LAYOUT_PAGE}(7)`.",
    ListedExecution: "An execution: the content of `metadata.json`, without `artifacts`; see "
    f"`{LAYOUT_PAGE}(7)`.",
}


def render_json_page(version: str) -> str:
    """Return the page."""
    commands = "\n\n".join(_describe(name, output) for name, output in OUTPUTS.items())
    return render_manpage(JSON_PAGE, "json.md", {"commands": commands}, version)


def _describe(name: str, output: CommandOutput) -> str:
    how = "An object a line." if output.is_stream else "One object."
    return "\n\n".join([f"## orchestrator {name}", how, *map(_describe_kind, output.kinds)])


def _describe_kind(kind: type[BaseModel]) -> str:
    if kind in _ELSEWHERE:
        return _ELSEWHERE[kind]
    schema = kind.model_json_schema(mode="serialization")
    return "\n\n".join([str(schema["description"]), *_fields(schema, schema.get("$defs", {}))])


def _fields(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], before: str = ""
) -> Iterator[str]:
    """Yield a definition for each field, followed by those of the objects in it."""
    if "additionalProperties" in schema and "properties" not in schema:
        yield from _fields_of_value(schema["additionalProperties"], definitions, f"{before}NAME")
    for name, field in schema.get("properties", {}).items():
        meaning = field.get("description", "")
        kind = _type_in_words(field, definitions)
        text = f"{kind[0].upper()}{kind[1:]}. {meaning}".rstrip()
        yield f"`{before}{name}`\n:   {text}"
        yield from _fields_of_value(field, definitions, f"{before}{name}")


def _fields_of_value(
    field: Mapping[str, Any], definitions: Mapping[str, Any], name: str
) -> Iterator[str]:
    for value in (field, *field.get("anyOf", ())):
        items = value.get("items", {})
        more = value.get("additionalProperties")
        if "$ref" in value:
            yield from _fields(_resolve(value, definitions), definitions, f"{name}.")
        elif "$ref" in items:
            yield from _fields(_resolve(items, definitions), definitions, f"{name}[].")
        elif isinstance(more, dict) and "$ref" in more:
            yield from _fields(_resolve(more, definitions), definitions, f"{name}.NAME.")


def _resolve(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = definitions[value["$ref"].rpartition("/")[2]]
    return found


def _type_in_words(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return _either(_type_in_words(one, definitions) for one in field["anyOf"])
    if "enum" in field:
        return _either(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return "object"
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "array":
        items = field["items"]
        return f"list of {_type_in_words(items, definitions) if 'type' in items else 'object'}s"
    return _TYPES[field["type"]]


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
