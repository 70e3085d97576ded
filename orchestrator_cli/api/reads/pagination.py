"""Opaque cursors. They contain the last key of a page, so any replica can return the next one."""

from __future__ import annotations

import base64
import binascii

from orchestrator_cli.core.base.errors import UsageError


def encode_cursor(kind: str, last: str) -> str:
    """Return the cursor after a key. `kind` names the listing that it belongs to."""
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> str:
    """Return the key after which a page begins. Raises UsageError for a cursor of another kind."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    encoded_kind, separator, last = text.partition(":")
    if encoded_kind != kind or not separator or encode_cursor(kind, last) != cursor:
        raise _invalid()
    return last


def _invalid() -> UsageError:
    return UsageError("not a cursor of this listing", hint="leave it out to get the first page")
