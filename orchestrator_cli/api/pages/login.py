"""The routes that need no token: logging in and out, and the scripts and styles of the pages."""

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
# Values of Sec-Fetch-Site that a form of these pages has; "" is for older browsers.
_SAME_SITE = frozenset({"same-origin", "none", ""})
# Enough for a token and the page to return to. Clients without a token must not cost memory.
_MAX_FORM_BYTES = 8 * 1024
_INSECURE = "Tokens are accepted over HTTPS or on this machine only."


@router.get("/ui/static/{version}/{name:path}")
async def get_asset(request: Request, version: str, name: str) -> Response:
    """Return a script, style or icon."""
    accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
    return asset_response(version, name, accepts_gzip) or Response("not found", 404)


@router.get("/ui/login")
async def get_login(request: Request) -> Response:
    """Show the login form."""
    token = cookie_token(request_headers(request.scope))
    tokens = cast("TokenFile", request.scope[TOKENS])
    has_expired = token != "" and tokens.required and tokens.find(token) is None
    problem = "Your login has expired: its token is no longer valid." if has_expired else ""
    return _form(request, _target(request.query_params.get("next", "")), problem)


@router.post("/ui/login")
async def log_in(request: Request) -> Response:
    """Check a token and store it in a cookie."""
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        return _form(request, "", "That is not a token.", 413)
    form = parse_qs(body.decode("utf-8", "replace"))
    token = form.get("token", [""])[0].strip()
    target = _target(form.get("next", [""])[0])
    headers = request_headers(request.scope)
    if headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return _form(request, target, "The form came from another site.", 403)
    secure = is_https(request.url.scheme, headers)
    if not (secure or is_loopback_host(headers)):
        return _form(request, target, _INSECURE, 403)
    tokens = cast("TokenFile", request.scope[TOKENS])
    known = tokens.find(token) if tokens.required else None
    if tokens.required and (known is None or known.scope != "read"):
        problem = "This token is for uploads only." if known else "This token is not valid."
        return _form(request, target, problem, 403)
    return _redirect(f"./{target}", login_cookie(token if tokens.required else "", secure))


@router.post("/ui/logout")
async def log_out(request: Request) -> Response:
    """Delete the cookie."""
    headers = request_headers(request.scope)
    if headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return Response("the form came from another site", 403)
    return _redirect("./login", login_cookie("", is_https(request.url.scheme, headers)))


def _form(request: Request, target: str, problem: str = "", status: int = 200) -> Response:
    return render_page(request, "login.html", status, target=target, problem=problem)


def _redirect(location: str, cookie: str) -> Response:
    headers = {"Location": location, "Set-Cookie": cookie, "Cache-Control": "no-store"}
    return Response(status_code=303, headers=headers)


def _target(text: str) -> str:
    """Return a relative URL to go to after login; prefixed with `./`, it cannot leave the site."""
    return quote(text[:2048], safe="/?&=%:@,+~.-")
