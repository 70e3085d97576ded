"""Render templates to pages, with the headers that every page has."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from orchestrator_cli import __version__
from orchestrator_cli.api.guard.cookies import cookie_token
from orchestrator_cli.api.guard.request_checks import request_headers
from orchestrator_cli.api.guard.security_headers import PAGE_POLICY
from orchestrator_cli.api.pages.assets import asset_version
from orchestrator_cli.api.services import services_of
from orchestrator_cli.core.base.quantities import format_duration, format_size
from orchestrator_cli.core.base.text import printable

_CODE = Markup("<code>{}</code>")


def render_page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page. Its links are relative, because a proxy may serve it below any path."""
    root = "../" * (request.url.path.count("/") - 1)
    text = (
        _environment()
        .get_template(template)
        .render(
            root=root or "./",
            static=f"{root}ui/static/{asset_version()}",
            bucket=services_of(request).reads.store.bucket,
            logged_in=bool(cookie_token(request_headers(request.scope))),
            version=__version__,
            status=status,
            **values,
        )
    )
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return Response(text.encode("utf-8", "replace"), status, headers, "text/html; charset=utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("orchestrator_cli.api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": printable,
        "size": format_size,
        "duration": lambda duration: "–" if duration is None else format_duration(duration),
        "moment": format_time,
        "code": mark_code,
        "path": lambda text: quote(text, safe="/"),
    }
    return environment


def mark_code(text: str) -> Markup:
    """Return a hint as HTML in which text between backquotes is marked as code."""
    parts = text.split("`")
    shown = [_CODE.format(one) if at % 2 else escape(one) for at, one in enumerate(parts)]
    return Markup("").join(shown)


def format_time(instant: datetime | None) -> Markup:
    """Return an instant as a <time> element, which a script shows in the reader's time zone."""
    if instant is None:
        return Markup("–")
    utc = instant.astimezone(UTC)
    machine, shown = utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(machine, shown)
