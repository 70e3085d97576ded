"""Terraform as plain data."""

from __future__ import annotations

from typing import Any

import hcl2


def read_terraform(text: str) -> dict[str, Any]:
    """Return what is in a file: lists of blocks by their kind."""
    read: dict[str, Any] = _plain(hcl2.loads(text))
    return read


def _plain(value: Any) -> Any:
    """Return what python-hcl2 read without its quotes and marks."""
    if isinstance(value, dict):
        marks = ("__is_block__", "__comments__")
        return {_plain(k): _plain(v) for k, v in value.items() if k not in marks}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.strip('"') if isinstance(value, str) else value
