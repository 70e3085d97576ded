"""The cookie in which a browser keeps its token."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

# Browsers accept a cookie with the prefix __Host- only over TLS, and bind it to this host.
SECURE_COOKIE = "__Host-orchestrator"
# On loopback, where there may be no TLS.
LOOPBACK_COOKIE = "orchestrator"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MAX_AGE_SECONDS = 30 * 24 * 3600


def is_loopback_host(headers: dict[str, str]) -> bool:
    """Return True if the Host header names the loopback interface."""
    host = headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower() in LOOPBACK_NAMES


def is_https(scheme: str, headers: dict[str, str]) -> bool:
    """Return True if the client used TLS, to this server or to a proxy before it."""
    return "https" in (scheme, headers.get("x-forwarded-proto", "").strip().lower())


def cookie_token(headers: dict[str, str]) -> str:
    """Return the token in the cookie of a request; "" if there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    names = [SECURE_COOKIE, *([LOOPBACK_COOKIE] if is_loopback_host(headers) else [])]
    return next((found[name].value for name in names if name in found), "")


def login_cookie(token: str, secure: bool) -> str:
    """Return a Set-Cookie header with a token; an empty token deletes the cookie."""
    age = _MAX_AGE_SECONDS if token else 0
    rules = f"Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
    if secure:
        return f"{SECURE_COOKIE}={token}; {rules}; Secure"
    return f"{LOOPBACK_COOKIE}={token}; {rules}"
