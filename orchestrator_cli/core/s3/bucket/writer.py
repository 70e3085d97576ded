"""ArtifactStore: create-only put and compare-and-swap as blocking calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.core.s3.bucket.reader import BucketIndex, ObjectReader
from orchestrator_cli.core.s3.checksum import RandomAccessReader
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.operations.put import (
    MD5_PAYS_BYTES,
    ServerTraits,
    compare_and_swap,
    compare_object,
    put_if_absent,
    verify_etag,
)
from orchestrator_cli.core.s3.types import Checksum, PutOutcome

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.connection.session import S3Session

__all__ = ["MD5_PAYS_BYTES", "ArtifactStore", "verify_etag"]


class ArtifactStore(ObjectReader):
    """The objects of one bucket. Safe to share between threads.

    Every method raises the library's exceptions; requests that failed for a moment are retried.
    """

    def __init__(self, clients: S3Session) -> None:
        super().__init__(clients, BucketIndex(clients.bucket))
        self.clients = clients
        self.bucket = clients.bucket
        self.server = ServerTraits(clients)

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> tuple[PutOutcome, Checksum]:
        """Write an object only if the key is free, in one PutObject.

        Returns the outcome, never raises ConflictError for it, and the whole-object SHA-256.
        `listed_etag` is what a listing said of the key: empty where it is free, None where nobody
        looked.
        """
        return self.clients.run(put_if_absent(self.server, key, data, content_type, listed_etag))

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> PutOutcome | None:
        """Compare local bytes with a stored object; None where there is no object."""
        return self.clients.run(compare_object(key, source, size_bytes, known))

    def compare_and_swap(self, key: str, data: bytes, etag: str, content_type: str) -> str:
        """Replace an object only if it still has this ETag; return its new one.

        Raises ConflictError.

        Where the server refuses every condition, the object is looked at right before instead, and
        `swaps_atomically` is False from then on.
        """
        return self.clients.run(compare_and_swap(self.server, key, data, etag, content_type))

    @property
    def swaps_atomically(self) -> bool:
        """Whether an update can be made to depend on the ETag that was read."""
        return self.server.swaps_atomically

    @property
    def creates_atomically(self) -> bool:
        """Whether the server implements If-None-Match; else each key is looked up right before."""
        return self.server.creates_atomically

    @property
    def verified_by_server(self) -> bool:
        """Whether the server is known to verify SHA-256 on arrival; else Content-MD5 goes along."""
        return self.server.verifies_sha256
