"""The HTTP pool, which behaves as boto3's does about proxies, CAs and times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator_cli import __version__

if TYPE_CHECKING:
    from urllib3 import PoolManager

CONNECT_TIMEOUT_SECONDS = 10
# Between two reads or writes of one connection, not for a whole transfer.
STALL_TIMEOUT_SECONDS = 60
USER_AGENT = f"orchestrator/{__version__}"
# How much of a body that is read while it is sent is read at once.
_BLOCK_BYTES = 256 * 1024


def make_pool(
    url: str,
    ca_bundle: str | None = None,
    connections: int = 1,
    stall_seconds: float = STALL_TIMEOUT_SECONDS,
    *,
    proxied: bool = True,
) -> PoolManager:
    """Return a pool for the host of a URL, through the proxy that the environment names for it."""
    import urllib3

    options: dict[str, Any] = {
        "maxsize": connections,
        "retries": False,
        "timeout": urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, stall_seconds), read=stall_seconds
        ),
        "headers": {"User-Agent": USER_AGENT},
        "blocksize": _BLOCK_BYTES,
        "ca_certs": ca_bundle or _fallback_bundle(),
    }
    proxy = _proxy_for(url) if proxied else None
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _proxy_for(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _fallback_bundle() -> str | None:
    """Return botocore's own CAs where the system has none, as some Pythons of macOS."""
    import ssl

    system = ssl.get_default_verify_paths()
    if system.cafile or system.capath:
        return None
    from importlib.util import find_spec

    found = find_spec("botocore")
    bundle = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(bundle) if bundle is not None and bundle.exists() else None
