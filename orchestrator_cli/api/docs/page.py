"""The page at /docs: a single HTML file without scripts and other resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from typing import Any

from orchestrator_cli.api.docs.guide import GUIDE

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
    "code,pre{background:#f3f3f3;padding:.1em .3em}pre{padding:1em;overflow:auto;font-size:85%}"
    "td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}"
)
_ORDER = ("executions", "files", "uploads", "service")


def render_docs(document: dict[str, Any], base: str, today: date) -> str:
    """Return the page of an OpenAPI document. Its examples use the server at the URL `base`."""
    title = escape(document["info"]["title"])
    return "".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
            f"<style>{_STYLE}</style><h1>{title} {escape(document['info']['version'])}</h1>",
            f"<p>{escape(document['info']['description'])}</p>",
            '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
            *_guide(base, today),
            *(_operation(document, *one) for one in _ordered(document)),
            _errors(document),
            "</html>",
        ]
    )


def _guide(base: str, today: date) -> Iterator[str]:
    values = {"base": base, "today": str(today), "yesterday": str(today - timedelta(days=1))}
    for heading, text, example in GUIDE:
        for name, value in values.items():
            example = example.replace(f"{{{name}}}", value)  # noqa: PLW2901 - the same example
        yield f"<h2>{escape(heading)}</h2><p>{escape(text)}</p><pre>{escape(example)}</pre>"


def _ordered(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [
        (method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return sorted(found, key=lambda one: _ORDER.index(one[2]["tags"][0]))


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(document, one) for one in operation.get("parameters", []))
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
        + (f"<table><tr><th>parameter<th>in<th>meaning</tr>{rows}</table>" if rows else "")
        + _response_example(document, operation)
    )


def _parameter(document: dict[str, Any], one: dict[str, Any]) -> str:
    schema = one["schema"]
    meaning = [one.get("description", "")]
    for choice in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        allowed = _resolve(document, choice).get("enum")
        meaning += [f"One of: {', '.join(map(str, allowed))}."] if allowed else []
    if schema.get("default") not in (None, "", []):
        meaning += [f"Default: {schema['default']}."]
    if "maximum" in schema:
        meaning += [f"At most {schema['maximum']:g}."]
    name, where = escape(one["name"]), escape(one["in"])
    return f"<tr><td><code>{name}</code><td>{where}<td>{escape(' '.join(meaning))}</tr>"


def _response_example(document: dict[str, Any], operation: dict[str, Any]) -> str:
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    if "example" not in content:
        return ""
    example = json.dumps(content["example"], indent=2, ensure_ascii=False)
    fields = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(text)}</tr>"
        for name, text in _described(document, content["schema"])
    )
    return f"<pre>{escape(example)}</pre>" + (f"<table>{fields}</table>" if fields else "")


def _described(
    document: dict[str, Any], schema: dict[str, Any], before: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the fields of a response that have a description."""
    for name, field in _resolve(document, schema).get("properties", {}).items():
        if "description" in field:
            yield before + name, field["description"]
        for choice in (field, *field.get("anyOf", ())):
            if "items" in choice:
                yield from _described(document, choice["items"], f"{before}{name}[].")


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _errors(document: dict[str, Any]) -> str:
    """Return one table of all error statuses, which mean the same for each operation."""
    found: dict[str, str] = {}
    for _, _, operation in _ordered(document):
        for status, one in operation["responses"].items():
            if status >= "400":
                found.setdefault(status, one["description"])
    rows = "".join(
        f"<tr><td>{status}<td>{escape(text)}</tr>" for status, text in sorted(found.items())
    )
    return (
        "<h2>Errors</h2><p>An error is application/problem+json: <code>type</code> names its "
        "kind, <code>detail</code> says what failed, <code>hint</code> what to do about it.</p>"
        f"<table>{rows}</table>"
    )
