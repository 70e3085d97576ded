"""The page at /docs: all in one file, so that it needs no network and no script."""

from __future__ import annotations

from html import escape
from typing import Any

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
)
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "code,pre{background:#f3f3f3;padding:.1em .3em}pre{padding:1em;overflow:auto}"
    "td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}"
)
_GUIDE = """# yesterday's failed executions of a suite (times are UTC; since=2d works too)
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since=2026-01-30&until=2026-01-31&result=fail&suite=smoke"
# more? add &cursor=<next_cursor> until next_cursor is null

# a link to a log, for people: the server answers with a redirect that a browser shows in place
{base}/executions/<execution_id>/logs/stdout
curl -L -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/logs/stdout"
# its last 100 lines
curl -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/logs/stdout?tail=100"

# every file, with links that work without the token until expires_at
curl -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/artifacts?glob=*.png"

# store what a bench left, without AWS credentials: with a token of `serve --scope upload`
ORCHESTRATOR_VIA_TOKEN=$TOKEN orchestrator upload $ID results/ --via {base}
"""


def render_docs(document: dict[str, Any], base: str) -> str:
    """Return the page for an OpenAPI document."""
    title = escape(document["info"]["title"])
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
        f"<style>{_STYLE}</style><h1>{title} {escape(document['info']['version'])}</h1>",
        f"<p>{escape(document['info']['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
        f"<h2>To begin</h2><pre>{escape(_GUIDE.replace('{base}', base))}</pre>",
    ]
    for path, methods in document["paths"].items():
        parts += [_operation(method, path, one) for method, one in methods.items()]
    return "".join(parts) + "</html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(one) for one in operation.get("parameters", []))
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
        + (f"<table><tr><th>parameter<th>in<th>meaning</tr>{rows}</table>" if rows else "")
    )


def _parameter(one: dict[str, Any]) -> str:
    name, where = escape(one["name"]), escape(one["in"])
    return f"<tr><td><code>{name}</code><td>{where}<td>{escape(one.get('description', ''))}</tr>"
