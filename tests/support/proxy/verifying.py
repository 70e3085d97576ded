"""What moto lacks: a request whose bytes do not match the digests that it names is refused."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from typing import TYPE_CHECKING, Any, cast

from tests.support.proxy.faults import Answer, Fault, Waiting

if TYPE_CHECKING:
    from tests.support.proxy.connection import Connection

_HEX = re.compile(r"[0-9a-f]{64}")


class VerifyDigests(Fault):
    """Answer BadDigest, as S3 does, where a body is not what its headers say.

    To be injected for all requests behind the faults, so that it sees what they leave of a body.
    """

    def __init__(self) -> None:
        self._bodies: dict[int, bytearray] = {}
        self._lock = threading.Lock()

    def request_head(self, waiting: Waiting) -> None:
        with self._lock:
            self._bodies[id(waiting)] = bytearray()

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        with self._lock:
            self._bodies[id(waiting)] += chunk
        return chunk

    def request_end(self, waiting: Waiting) -> None:
        with self._lock:
            body = bytes(self._bodies.pop(id(waiting)))
        headers = cast("Connection", waiting).exchange.request.headers
        for name, found in _digests(body).items():
            told = headers.get(name, found)
            if told != found and (name != "x-amz-content-sha256" or _HEX.fullmatch(told)):
                code = "XAmzContentSHA256Mismatch" if "content-sha" in name else "BadDigest"
                Answer(400, code).request_head(waiting)


def _digests(body: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(body)
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    return {
        "x-amz-checksum-sha256": base64.b64encode(digest.digest()).decode(),
        "x-amz-content-sha256": digest.hexdigest(),
        "content-md5": base64.b64encode(md5).decode(),
    }
