"""Signed links to an execution's files, which work without a token until they expire."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from orchestrator_cli.core.executions.ids import is_execution_id

# A link stays the same for this long, so that a browser can cache the file. It works for one to two
# times as long.
LINK_SECONDS = 6 * 3600
_MAC_CHARACTERS = 32


def sign_files(execution_id: str, now: datetime, key: bytes) -> str:
    """Return the signed part of a link, which comes before the file's path."""
    until = (int(now.timestamp()) // LINK_SECONDS + 2) * LINK_SECONDS
    return f"{execution_id}.{until}.{_mac(execution_id, str(until), key)}"


def check_files(signed: str, now: datetime, key: bytes) -> str | None:
    """Return the execution whose files a link may read; None if it is forged or has expired."""
    execution_id, _, rest = signed.partition(".")
    until, _, mac = rest.partition(".")
    if not is_execution_id(execution_id) or not (until.isascii() and until.isdigit()):
        return None
    expected = _mac(execution_id, until, key)
    if not hmac.compare_digest(mac.encode("utf-8", "replace"), expected.encode()):
        return None
    return execution_id if now.timestamp() < int(until) else None


def _mac(execution_id: str, until: str, key: bytes) -> str:
    text = f"{execution_id}.{until}".encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()[:_MAC_CHARACTERS]
