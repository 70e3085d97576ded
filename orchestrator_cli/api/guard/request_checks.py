"""Decide whether a request is passed on to the application: its size, token, host and type."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Scope

from orchestrator_cli.api.guard.auth import UPLOADS, Token
from orchestrator_cli.api.guard.cookies import cookie_token, is_loopback_host
from orchestrator_cli.api.guard.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_TARGET_BYTES
from orchestrator_cli.api.guard.token_file import TokenFile
from orchestrator_cli.api.problems import problem

# Health checks, which need no token.
PROBE_PATHS = frozenset({"/healthz", "/readyz"})
# These need no token: they show nothing of what is stored, and a browser has none to send.
DOCUMENT_PATHS = frozenset({"/docs", "/openapi.json"})
# Pages for people. Without a login they lead to the login page, except for the open ones below.
PAGES = "/ui/"
_OPEN_PAGES = frozenset({"/ui", "/ui/login", "/ui/logout"})
_OPEN_FOLDERS = ("/ui/static/", "/a/")


def check_request(scope: Scope, tokens: TokenFile) -> tuple[Response | None, Token | None]:
    """Return the response that refuses a request, or None, and the token of the request."""
    headers = request_headers(scope)
    refused = _check_size(scope, headers)
    if refused is not None or scope["path"] in PROBE_PATHS:
        return refused, None
    if not tokens.required:
        return _check_host(headers) or _check_type(scope, headers), None
    if _is_open(scope["path"], scope["method"]):
        return None, None
    presented = _presented_token(scope["method"], headers)
    token = tokens.find(presented) if presented is not None else None
    if token is None:
        return _ask_for_token(scope), None
    if not token.allows(scope["method"], scope["path"]):
        return problem(403, "forbidden", f"this token is for {_purpose(token)} only"), token
    return _check_type(scope, headers), token


def _is_open(path: str, method: str) -> bool:
    reads = method in ("GET", "HEAD")
    if path in DOCUMENT_PATHS or path.startswith(_OPEN_FOLDERS):
        return reads
    return path in _OPEN_PAGES and (reads or method == "POST")


def _presented_token(method: str, headers: dict[str, str]) -> str | None:
    """Return the token of the header or of a cookie; a cookie counts for GET and HEAD only."""
    if "authorization" in headers:
        scheme, _, presented = headers["authorization"].partition(" ")
        return presented.strip() if scheme.lower() == "bearer" else None
    return (cookie_token(headers) or None) if method in ("GET", "HEAD") else None


def _ask_for_token(scope: Scope) -> Response:
    """Return 401 for the API, and a redirect to the login page for a page.

    The redirect is relative, because a proxy may serve the pages below any path.
    """
    if not scope["path"].startswith(PAGES):
        challenge = {"WWW-Authenticate": "Bearer"}
        return problem(401, "unauthenticated", "no valid bearer token", challenge)
    path = scope["path"].removeprefix(PAGES)
    query = scope["query_string"].decode("latin-1")
    target = quote(path + (f"?{query}" if query else ""))
    up = "../" * path.count("/")
    headers = {"Location": f"{up or './'}login?next={target}", "Cache-Control": "no-store"}
    return Response(status_code=303, headers=headers)


def _purpose(token: Token) -> str:
    if token.scope == "read":
        return "reading"
    return f"uploads to {token.execution_id}" if token.execution_id else "uploads"


def _check_size(scope: Scope, headers: dict[str, str]) -> Response | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return problem(414, "too-large", f"a URL has at most {MAX_TARGET_BYTES} bytes")
    if sum(len(name) + len(text) for name, text in scope["headers"]) > MAX_HEADER_BYTES:
        return problem(431, "too-large", f"headers have at most {MAX_HEADER_BYTES} bytes")
    length = headers.get("content-length", "0")
    # A chunked body has no length that could be checked beforehand.
    if "transfer-encoding" in headers or (length.isdigit() and int(length) > MAX_BODY_BYTES):
        limit = f"a body has a Content-Length of {MAX_BODY_BYTES} bytes at most"
        # If a proxy has read another length, the bytes that follow are not a request: close.
        return problem(413, "too-large", limit, {"Connection": "close"})
    return None


def _check_type(scope: Scope, headers: dict[str, str]) -> Response | None:
    """Refuse content types that a page of another site could send without a CORS preflight."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    uploads = UPLOADS.fullmatch(scope["path"])
    if scope["method"] != "POST" or not uploads or kind == "application/json":
        return None
    return problem(415, "media-type", "a body is application/json")


def _check_host(headers: dict[str, str]) -> Response | None:
    """Refuse other host names, against DNS rebinding by the page of another site."""
    if is_loopback_host(headers):
        return None
    return problem(421, "http", "without tokens only localhost is served")


def request_headers(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by their lower-case names."""
    return {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
