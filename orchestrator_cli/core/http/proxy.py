"""Choose the proxy for a URL, by the settings that urllib and boto3 take too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.http.url import DEFAULT_PORTS

_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_DEFAULT_SOCKS_PORT = 1080


class InvalidProxyError(UsageError):
    """A proxy setting that cannot be used; the text repeats nothing that may be a password."""

    is_fatal = True


class Proxy(NamedTuple):
    """A proxy, and the credentials that it asks for."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"

    @property
    def url(self) -> str:
        """Scheme, host and port; without credentials, so that it can be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_http(self) -> bool:
        """Whether it speaks HTTP, and so answers with a status."""
        return self.scheme in ("http", "https")


def proxy_for(url: str, settings: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL, or None where it is reached directly.

    `settings` has the names of the usual environment variables: `http_proxy`, `https_proxy`,
    `all_proxy` and `no_proxy`, in lower or upper case; lower case wins, an empty one means none.
    Raises InvalidProxyError.
    """
    if not settings:
        return None
    parts = urlsplit(url)
    names = (f"{parts.scheme}_proxy", "all_proxy")
    name = next((one for one in names if _setting(settings, one)), "")
    named = _setting(settings, name)
    if not named:
        return None
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    if _is_bypassed(parts.hostname or "", port, _setting(settings, "no_proxy") or ""):
        return None
    return _parse_proxy(named if "://" in named else f"http://{named}", name.upper())


def _setting(settings: Mapping[str, str], name: str) -> str | None:
    return settings.get(name, settings.get(name.upper()))


def _is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    entries = (entry.strip().lower() for entry in no_proxy.replace(" ", ",").split(","))
    return any(_entry_matches(entry, host, port) for entry in entries if entry)


def _entry_matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _is_in_network(host, entry)
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdecimal() and (":" not in name or name.endswith("]")):
        if int(entry_port) != port:
            return False
        entry = name
    entry = entry.removeprefix("*").lstrip(".").strip("[]")
    return host == entry or host.endswith(f".{entry}")


def _is_in_network(host: str, network: str) -> bool:
    # Imported here, because few commands need it.
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _parse_proxy(url: str, setting: str) -> Proxy:
    scheme = url.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise InvalidProxyError(f"{setting}: a proxy of another kind than http, https and socks")
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(scheme, _DEFAULT_SOCKS_PORT)
    except ValueError as error:
        raise InvalidProxyError(f"{setting}: not the URL of a proxy") from error
    if not parts.hostname:
        raise InvalidProxyError(f"{setting}: not the URL of a proxy")
    username = None if parts.username is None else unquote(parts.username)
    return Proxy(scheme, parts.hostname, port, username, unquote(parts.password or ""))


def proxy_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name proxies, and the hosts to reach without one."""
    return {name: text for name, text in environment.items() if name.lower().endswith("_proxy")}
