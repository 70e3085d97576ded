"""Where an upload goes: into the bucket itself, or through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from orchestrator_cli.core.http.transport import Body
from orchestrator_cli.core.s3.checksum import RandomAccessReader
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.operations.multipart import PartDigests
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.upload.stored_etags import StoredEtags

# An upload id, and the stored parts by number.
FoundUpload = tuple[str, dict[int, StoredPart]]


class UploadTarget(Protocol):
    """The operations that an upload needs. They run on the connection of the target.

    Safe to share between threads, but for `put_if_absent`: that is for the tasks of one loop.
    """

    @property
    def verifies_sha256(self) -> bool:
        """Whether the storage is known to verify SHA-256 on arrival; else an MD5 goes along."""
        ...

    def listed_etags(self) -> StoredEtags | None:
        """Return a look-up of ETags by keys in ascending order, with "" for a free key.

        None where the target looks at each key by itself.
        """
        ...

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> Operation[tuple[PutOutcome, Checksum]]:
        """Write a small object only if the key is free; return the outcome and the SHA-256."""
        ...

    def put_index(self, key: str, index: bytes, tail: bytes) -> list[Operation[object]]:
        """Return the operations that store a log's index and last bytes where there are none.

        They may run at the same time.
        """
        ...

    def head(self, key: str) -> Operation[ObjectMetadata]:
        """Look an object up. Raises NotFoundError."""
        ...

    def head_for_compare(self, key: str) -> Operation[ObjectMetadata | None]:
        """Look up what is needed to recompute a checksum; None where there is no object."""
        ...

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> Operation[PutOutcome | None]:
        """Compare local bytes with a stored object; None where there is no object."""
        ...

    def hash_stored_range(self, key: str, offset_bytes: int, size_bytes: int) -> Operation[bytes]:
        """Read a range of an object back and return its SHA-256.

        Raises OrchestratorError where an upload may not read.
        """
        ...

    def find_incomplete_uploads(self, key: str) -> Operation[list[FoundUpload]]:
        """Return a key's incomplete multipart uploads, the fullest first.

        One that cannot be taken over, since it has another checksum, comes without its parts.
        """
        ...

    def create_multipart(self, key: str, content_type: str, schedule: str) -> Operation[str]:
        """Begin a multipart upload and return its upload id."""
        ...

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> Operation[StoredPart]:
        """Send one part. Raises NotFoundError where the upload has ended."""
        ...

    def look_for_earlier_uploads(self, key: str, upload_id: str) -> Operation[None]:
        """Find out whether other uploads of the key began earlier, so that `complete` need not.

        It takes at least a second from an upload's begin until that is certain.
        """
        ...

    def complete(
        self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int
    ) -> Operation[None]:
        """Make the object from its parts, only if the key is free.

        Raises ConflictError (the key is taken), NotFoundError (the upload ended otherwise).
        """
        ...

    def abort(self, key: str, upload_id: str) -> Operation[None]:
        """Give up an upload that can no longer be completed; failing to is not an error."""
        ...

    def abort_other_uploads(
        self, key: str, completed_id: str, found: Iterable[FoundUpload]
    ) -> Operation[None]:
        """Give up the other uploads of a key that is taken now: none can complete."""
        ...
