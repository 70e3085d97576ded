"""The multipart upload of one key: found or created, its parts sent and counted, then completed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import NamedTuple, TypeVar

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError, UnsupportedError
from orchestrator_cli.core.http.transport import BodyReader
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.error_codes import has_foreign_parts, is_ended_upload
from orchestrator_cli.core.s3.operations.multipart import PartDigests
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.parts.part_checksums import (
    PartChecksums,
    PartWatch,
    verify_completed_object,
)
from orchestrator_cli.core.transfer.upload.parts.part_source import CountedBody
from orchestrator_cli.core.transfer.upload.target import FoundUpload, UploadTarget

T = TypeVar("T")

# S3 tells in whole seconds when uploads began: after one, none that begins later can seem earlier.
TELLING_SECONDS = 1.0


class TransferStats(NamedTuple):
    """The bytes found in an unfinished upload, and the bytes sent and acknowledged."""

    resumed_bytes: int = 0
    sent_bytes: int = 0


NO_BYTES = TransferStats()


class MultipartSession:
    """What the upload of a file and that of a stream have in common.

    `checksums` are those of the local parts, whichever upload they are sent to. `count` is what was
    found and sent. `completed` is the completed object.
    """

    def __init__(
        self, engine: TransferEngine, target: UploadTarget, key: str, watch: PartWatch
    ) -> None:
        self.count = NO_BYTES
        self._counting = threading.Lock()
        self.checksums = PartChecksums(watch)
        self.completed: ObjectMetadata | None = None
        self._engine = engine
        self._target = target
        self._key = key
        self._found: list[FoundUpload] = []
        # (upload id, part number) of what was sent or found: found again, it is not counted twice.
        self._counted: set[tuple[str, int]] = set()
        self._begun_at = 0.0
        self._looks = count()

    def run(self, operation: Operation[T]) -> T:
        """Run an operation of the target and wait for its result."""
        return self._engine.connection.run(operation)

    def resume_or_create(
        self,
        found: list[FoundUpload],
        content_type: str,
        schedule: str,
        is_ours: Callable[[dict[int, StoredPart]], bool],
    ) -> FoundUpload:
        """Return a found upload whose stored parts are ours, or a new one."""
        self._found = found
        for upload_id, parts in self._found:
            # Skip uploads without parts: there is nothing to resume, and one may belong to a client
            # that has just begun to store other content. Two writers corrupt one upload.
            if parts and is_ours(parts):
                chosen = upload_id, parts
                break
        else:
            create = self._target.create_multipart(self._key, content_type, schedule)
            chosen = self.run(create), {}
        self._begun_at, self._looks = time.monotonic(), count()
        return chosen

    def resume(self, upload_id: str, parts: Iterable[StoredPart]) -> None:
        """Count the parts of an upload that are stored already."""
        for part in parts:
            if (upload_id, part.number) not in self._counted:
                self._add(resumed_bytes=part.size_bytes)
                self._counted.add((upload_id, part.number))

    def send(
        self, upload_id: str, part: Part, body: BodyReader, digests: PartDigests
    ) -> StoredPart:
        """Send a part; it is counted as far as it is read, and not where it is not stored."""
        counted = CountedBody(body, self._engine.on_bytes)
        try:
            stored = self.run(
                self._target.upload_part(self._key, upload_id, part, counted, digests)
            )
        except BaseException:
            counted.take_back()
            raise
        self._counted.add((upload_id, part.number))
        self._add(sent_bytes=part.size_bytes)
        if time.monotonic() - self._begun_at >= TELLING_SECONDS and not next(self._looks):
            # Other parts are sent meanwhile; afterwards, completing would wait for it.
            look = self._target.look_for_earlier_uploads(self._key, upload_id)
            self._engine.run_request(partial(self.run, look))
        return stored

    def _add(self, resumed_bytes: int = 0, sent_bytes: int = 0) -> None:
        """Count bytes that are stored; from any thread."""
        with self._counting:
            before = self.count
            self.count = TransferStats(
                before.resumed_bytes + resumed_bytes, before.sent_bytes + sent_bytes
            )
        self._engine.on_spared(resumed_bytes)
        self._engine.on_stored()

    def complete(
        self,
        upload_id: str,
        parts: list[StoredPart],
        size_bytes: int,
        own_checksum: Callable[[StoredChecksum], Checksum | None],
    ) -> Checksum | None:
        """Make the object from its parts, and return its checksum as stored once it is compared.

        Raises errors for which `is_concurrent_change` holds where somebody else was first.
        """
        self.run(self._target.complete(self._key, upload_id, parts, size_bytes))
        head = self.completed = self.run(self._target.head(self._key))
        checksum = verify_completed_object(head, size_bytes, own_checksum)
        self.run(self._target.abort_other_uploads(self._key, upload_id, self._found))
        return checksum

    def abort(self, upload_id: str) -> None:
        """Give up an upload that can no longer be completed."""
        self.run(self._target.abort(self._key, upload_id))


def is_concurrent_change(error: OrchestratorError) -> bool:
    """Return True if somebody else completed, aborted or wrote into the same upload."""
    is_taken = isinstance(error, ConflictError) or has_foreign_parts(error)
    return is_taken or is_ended_upload(error)


def is_in_the_way(error: OrchestratorError) -> bool:
    """Return True if a request failed for the parts that its unfinished upload holds already.

    One that began with the same bytes may hold others, or more: servers may refuse to complete with
    some of them (Ceph), or to replace one (rclone).
    """
    return has_foreign_parts(error) or isinstance(error, UnsupportedError)
