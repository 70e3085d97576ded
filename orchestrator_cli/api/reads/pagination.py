"""Opaque cursors: the last key of a page, so that any replica can go on."""

from __future__ import annotations

import base64
import binascii

from orchestrator_cli.core.base.errors import UsageError


def encode_cursor(kind: str, last: str) -> str:
    """Return the cursor behind a key; `kind` says of which listing."""
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> str:
    """Return the key a page begins behind. Raises UsageError for what no page gave."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _foreign() from error
    own, separator, last = text.partition(":")
    if own != kind or not separator or encode_cursor(kind, last) != cursor:
        raise _foreign()
    return last


def _foreign() -> UsageError:
    return UsageError("not a cursor of this listing", hint="leave it out to begin anew")
