"""Logging in with a token, and out; and the scripts and styles, which need neither."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from orchestrator_cli.api.guard.cookies import (
    cookie_token,
    is_https,
    is_loopback_host,
    login_cookie,
)
from orchestrator_cli.api.guard.middleware import TOKENS
from orchestrator_cli.api.guard.request_checks import request_headers
from orchestrator_cli.api.guard.token_file import TokenFile
from orchestrator_cli.api.pages.assets import asset_response
from orchestrator_cli.api.pages.rendering import render_page

router = APIRouter(include_in_schema=False)
_SAME_SITE = frozenset({"same-origin", "none", ""})
# A token, and where to go then. Whoever sends more has no token yet: it must cost nothing.
_MAX_FORM_BYTES = 8 * 1024
_NOT_HERE = "A token is only taken over HTTPS, or on this machine."


@router.get("/ui/static/{version}/{name:path}")
async def get_asset(request: Request, version: str, name: str) -> Response:
    packs = "gzip" in request.headers.get("accept-encoding", "")
    return asset_response(version, name, packs) or Response("not found", 404)


@router.get("/ui/login")
async def get_login(request: Request) -> Response:
    token = cookie_token(request_headers(request.scope))
    tokens = cast("TokenFile", request.scope[TOKENS])
    has_ended = token != "" and tokens.required and tokens.find(token) is None
    problem = "Your login has ended: its token is not valid any more." if has_ended else ""
    return _form(request, _target(request.query_params.get("next", "")), problem)


@router.post("/ui/login")
async def log_in(request: Request) -> Response:
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        return _form(request, "", "This is no token.", 413)
    form = parse_qs(body.decode("utf-8", "replace"))
    token = form.get("token", [""])[0].strip()
    target = _target(form.get("next", [""])[0])
    headers = request_headers(request.scope)
    if headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return _form(request, target, "The form came from another site.", 403)
    secure = is_https(request.url.scheme, headers)
    if not (secure or is_loopback_host(headers)):
        return _form(request, target, _NOT_HERE, 403)
    tokens = cast("TokenFile", request.scope[TOKENS])
    known = tokens.find(token) if tokens.required else None
    if tokens.required and (known is None or known.scope != "read"):
        why = "This token uploads, and reads nothing." if known else "No such token is valid now."
        return _form(request, target, why, 403)
    return _leave(f"./{target}", login_cookie(token if tokens.required else "", secure))


@router.post("/ui/logout")
async def log_out(request: Request) -> Response:
    headers = request_headers(request.scope)
    if headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return Response("from another site", 403)
    return _leave("./login", login_cookie("", is_https(request.url.scheme, headers)))


def _form(request: Request, target: str, problem: str = "", status: int = 200) -> Response:
    return render_page(request, "login.html", status, target=target, problem=problem)


def _leave(location: str, cookie: str) -> Response:
    headers = {"Location": location, "Set-Cookie": cookie, "Cache-Control": "no-store"}
    return Response(status_code=303, headers=headers)


def _target(text: str) -> str:
    """Return where to go afterwards, below /ui/: put behind ./ it cannot lead elsewhere."""
    return quote(text[:2048], safe="/?&=%:@,+~.-")
