"""Multipart uploads through a server, and the engine as it works through one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from types import TracebackType
from typing import Any, cast

from orchestrator_cli.core.base.cancellation import bind_token
from orchestrator_cli.core.base.errors import AccessError, NotFoundError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.remote_writer import RemoteWriter, path_of
from orchestrator_cli.core.s3.bucket.multipart import (
    IncompleteUpload,
    MultipartUploads,
    PartDigests,
    StoredPart,
)
from orchestrator_cli.core.s3.checksum import to_base64
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.part_checksums import composite_from_parts

# So many files wait for the server's decision at once: it takes them in one request.
_SMALL_FILES = 64


class ViaUploads(MultipartUploads):
    """The multipart calls of one execution, asked of its server."""

    def __init__(self, store: RemoteWriter) -> None:
        self._via = store
        self._execution = store.execution
        self._parts: dict[str, dict[int, StoredPart]] = {}

    def list_uploads(self, prefix: str) -> Iterator[IncompleteUpload]:
        """Yield the unfinished uploads of exactly this key."""
        for upload, parts in self._via.unfinished(prefix):
            self._parts[upload.upload_id] = parts
            yield IncompleteUpload(
                prefix, upload.upload_id, upload.initiated_at, upload.takes_sha256
            )

    def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Return the parts that came with the uploads. Raises NotFoundError."""
        try:
            return self._parts.pop(upload_id)
        except KeyError as error:
            raise NotFoundError("the upload was ended", code="NoSuchUpload") from error

    def create(self, key: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its upload id."""
        return self._execution.create_multipart(path_of(key), content_type, schedule)

    def may_have_orphan(self, key: str) -> bool:
        """Leave it to the server, which ends the others when one completes."""
        return False

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Any, digests: PartDigests
    ) -> StoredPart:
        """Send one part. Raises NotFoundError."""
        what = f"upload of {printable(key)}, part {part.number}"
        offer = {
            "number": part.number,
            "size_bytes": part.size_bytes,
            "sha256": digests.sha256.hex(),
        }
        offer |= {"md5": digests.md5.hex()} if digests.md5 else {}

        def request() -> StoredPart:
            # A URL for each time it is sent: the one before may have expired meanwhile.
            signed = self._execution.presign_part(path_of(key), upload_id, offer, what)
            try:
                answer = self._execution.client.put(signed, body, what)
            except UnavailableError as error:
                if error.code is not None:
                    self._check_unfinished(key, upload_id)
                raise
            self._via.check_arrived(answer, digests, what, again=True)
            etag = answer.header("etag").strip('"')
            return StoredPart(part.number, part.size_bytes, etag, to_base64(digests.sha256))

        try:
            return self._via.retry.call(request, what)
        except AccessError:
            # The URL may have expired on the way, as where this machine slept.
            return self._via.retry.call(request, what)

    def _check_unfinished(self, key: str, upload_id: str) -> None:
        """Raise NotFoundError for an upload that was ended: some servers answer 500 to its parts.

        To ask is cheaper than to send the part five times more.
        """
        self._via.head_for_compare(key)
        if upload_id not in [upload.upload_id for upload, _ in self._via.unfinished(key)]:
            raise NotFoundError("the upload was ended", code="NoSuchUpload")

    def complete(self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int) -> None:
        """Make the object from its parts, only if the key is free."""
        found = [composite_from_parts(algorithm, parts) for algorithm in ("sha256", "md5")]
        checksums = [one for one in found if one is not None]
        self._execution.complete(path_of(key), upload_id, size_bytes, checksums)

    def abort_best_effort(self, key: str, upload_id: str) -> None:
        """Leave it to the server, which ends what cannot complete."""


class ViaTransfers(TransferEngine):
    """Threads and memory of one command that uploads through a server."""

    @cached_property
    def uploads(self) -> MultipartUploads:
        """The multipart calls."""
        return ViaUploads(cast("RemoteWriter", self.store))

    def put(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None
    ) -> Operation[tuple[PutOutcome, Checksum]]:
        """Store a small object through the server, in a thread that may wait for its offers."""
        work = partial(self.store.put_if_absent, key, data, content_type, listed_etag)
        stored: tuple[PutOutcome, Checksum] = yield self._submit(self._small_files, work)
        return stored

    @cached_property
    def _small_files(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_SMALL_FILES, "small", partial(bind_token, self._stop))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if "_small_files" in self.__dict__:
            self._small_files.shutdown(wait=error is None, cancel_futures=error is not None)
