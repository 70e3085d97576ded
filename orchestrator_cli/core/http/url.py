"""Parse the URL of a service: what is sent to it, and what may be shown of it."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from orchestrator_cli.core.base.errors import UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}


def split_origin(url: str) -> tuple[str, str]:
    """Return scheme, host and port of a URL as written there, and its path."""
    scheme, _, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    return f"{scheme}://{address}", slash + path


def host_with_port(url: str) -> str:
    """Return host and port of a URL, to be shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


@lru_cache(maxsize=16)
def host_of(origin: str) -> str:
    """Return the Host header for an origin: without the port that goes without saying."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


class ServiceUrl(NamedTuple):
    """`url` has neither user nor password: `authorization` is the header made of them, or None."""

    url: str
    authorization: str | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port: what messages show."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def parse_service_url(text: str, option: str, example: str) -> ServiceUrl:
    """Parse a URL without query and fragment; a slash at its end is dropped.

    Raises UsageError, which names the option and repeats nothing of the text: it may hold a secret.
    """
    if not is_service_url(text):
        raise UsageError(f"{option}: not a URL such as {example}")
    parts = urlsplit(text)
    if parts.query or parts.fragment:
        raise UsageError(f"{option}: a URL without query and fragment")
    user, at, host = parts.netloc.rpartition("@")
    url = f"{parts.scheme}://{host}{parts.path}".rstrip("/")
    return ServiceUrl(url, _basic(user) if at else None)


def is_service_url(text: str) -> bool:
    """Return True for a URL with a scheme of HTTP and a host, and no character that none has."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and text.isascii() and text.isprintable() and " " not in text


def is_plaintext(url: str) -> bool:
    """Return True if others than the server can read what is sent to it."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _basic(user: str) -> str:
    name, _, password = user.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode()}"
