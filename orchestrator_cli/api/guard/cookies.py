"""The cookie in which a browser keeps its token: who may be given one, and who may use it."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

# A browser takes a cookie of this name only over TLS, for this host alone and for all of its paths.
SECURE_COOKIE = "__Host-orchestrator"
# On loopback there need be no TLS.
LOOPBACK_COOKIE = "orchestrator"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MAX_AGE_SECONDS = 30 * 24 * 3600


def is_loopback_host(headers: dict[str, str]) -> bool:
    """Return True if the client asked for this machine by a name that only it can use."""
    host = headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower() in LOOPBACK_NAMES


def is_https(scheme: str, headers: dict[str, str]) -> bool:
    """Return True if the client used TLS, which may end before this server."""
    return "https" in (scheme, headers.get("x-forwarded-proto", "").strip().lower())


def cookie_token(headers: dict[str, str]) -> str:
    """Return the token of a browser that has logged in; "" for none."""
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    names = [SECURE_COOKIE, *([LOOPBACK_COOKIE] if is_loopback_host(headers) else [])]
    return next((found[name].value for name in names if name in found), "")


def login_cookie(token: str, secure: bool) -> str:
    """Return the header that gives a browser its token; an empty token takes it away."""
    age = _MAX_AGE_SECONDS if token else 0
    rules = f"Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
    if secure:
        return f"{SECURE_COOKIE}={token}; {rules}; Secure"
    return f"{LOOPBACK_COOKIE}={token}; {rules}"
