"""Bytes for these tests, and what S3 should say of them, reckoned without the library."""

from __future__ import annotations

import base64
import hashlib
import random

MIB = 1024 * 1024
PART = 8 * MIB


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that no part of which equals another, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


def parts_of(data: bytes) -> list[bytes]:
    """Cut content as the library must for files up to 8 GiB."""
    return [data[start : start + PART] for start in range(0, len(data), PART)]


def sha256_base64(data: bytes) -> str:
    """Return the digest as S3's headers and listings have it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def composite(data: bytes) -> str:
    """Return `sha256:<hex>-<parts>` as the library writes it."""
    digests = [hashlib.sha256(part).digest() for part in parts_of(data)]
    return f"sha256:{hashlib.sha256(b''.join(digests)).hexdigest()}-{len(digests)}"


def composite_base64(data: bytes) -> str:
    """Return the composite as S3 answers it."""
    digests = [hashlib.sha256(part).digest() for part in parts_of(data)]
    whole = hashlib.sha256(b"".join(digests)).digest()
    return f"{base64.b64encode(whole).decode()}-{len(digests)}"
