"""ArtifactStore: create-only put and compare-and-swap as blocking calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.core.s3.bucket.reader import ObjectIndex, ObjectReader
from orchestrator_cli.core.s3.operations.put import ServerTraits, compare_and_swap, put_if_absent
from orchestrator_cli.core.s3.types import Checksum, PutOutcome

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.connection.session import S3Session


class ArtifactStore(ObjectReader):
    """The objects of one bucket, for reading and writing. Safe to share between threads."""

    def __init__(self, session: S3Session) -> None:
        super().__init__(session.connection, ObjectIndex(f"s3://{session.bucket}"))
        self.session = session
        self.bucket = session.bucket
        self.server = ServerTraits(session)

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> tuple[PutOutcome, Checksum]:
        """Write an object only if the key is free; see `operations.put`."""
        return self.run(put_if_absent(self.server, key, data, content_type, listed_etag))

    def compare_and_swap(self, key: str, data: bytes, etag: str, content_type: str) -> str:
        """Replace an object only if it still has this ETag; return its new one.

        Raises ConflictError.
        """
        return self.run(compare_and_swap(self.server, key, data, etag, content_type))
