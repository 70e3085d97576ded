"""What one core does at most of the work that nobody can leave out: hash, encrypt, copy."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

# So short that the system lets it run to its end, and more than any cache holds.
_HASHED_BYTES = 4 << 20
_COPIED_BYTES = 64 << 20
_SECONDS = 0.5
# Of TLS.
_RECORD_BYTES = 16384


def measure_limits() -> dict[str, Any]:
    """Return the rates in GiB a second, as JSON has them."""
    source, target = (memoryview(bytearray(_COPIED_BYTES)) for _ in range(2))
    block = source[:_HASHED_BYTES]

    def copy() -> None:
        target[:] = source

    rates = {
        "SHA-256": _rate(lambda: hashlib.sha256(block).digest(), _HASHED_BYTES),
        "MD5": _rate(lambda: hashlib.md5(block, usedforsecurity=False).digest(), _HASHED_BYTES),
        "AES-256-GCM": _encryption_rate(),
        "copy": _rate(copy, _COPIED_BYTES),
    }
    return {
        "workload": "limits",
        "says": "what one core does at most",
        "server": "no server",
        "gib_per_second": {name: rate for name, rate in rates.items() if rate},
        "targets": [],
    }


def _rate(work: Callable[[], object], size_bytes: int) -> float:
    """Return GiB a second, of the quickest block: what else runs here slows the others."""
    quickest, ends = float("inf"), time.monotonic() + _SECONDS
    while (begun := time.monotonic()) < ends:
        work()
        quickest = min(quickest, time.monotonic() - begun)
    return size_bytes / (1 << 30) / quickest


def _encryption_rate() -> float | None:
    """Return what openssl says of itself; None where it does not."""
    command = ["openssl", "speed", "-mr", "-evp", "aes-256-gcm", "-seconds", "1"]
    command += ["-bytes", str(_RECORD_BYTES)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"^\+F:.*:([0-9.]+)$", told, re.MULTILINE)
    return float(found[1]) / (1 << 30) if found else None
