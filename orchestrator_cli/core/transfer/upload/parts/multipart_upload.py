"""Store one large file by a multipart upload that any host can resume.

Nothing but S3's own list of unfinished uploads and their parts says what is there already. Nothing
is trusted by name or size alone: a stored part counts when its checksum equals the local part's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError, UnavailableError
from orchestrator_cli.core.base.memory_limiter import MemoryReservation
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.compare import StoredChecksum, compute_checksum_like
from orchestrator_cli.core.s3.operations.multipart import PartDigests
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, Part, part_plan_for, plan_parts
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.local_file import LocalFile
from orchestrator_cli.core.transfer.upload.parts.key_look import KeyLook
from orchestrator_cli.core.transfer.upload.parts.multipart_session import (
    MultipartSession,
    is_concurrent_change,
)
from orchestrator_cli.core.transfer.upload.parts.part_checksums import PartWatch, holds, unwatched
from orchestrator_cli.core.transfer.upload.parts.part_source import (
    BufferedPart,
    FilePartReader,
    LentBufferReader,
)
from orchestrator_cli.core.transfer.upload.target import UploadTarget

_ATTEMPTS = 4


@dataclass(eq=False, repr=False)
class MultipartUploader:
    """The upload of one file of more than one part. Use once.

    `look` is one that somebody has begun. `before_storing` is called in another thread once the key
    is found free, and has returned before the parts become an object.
    """

    engine: TransferEngine
    target: UploadTarget
    source: LocalFile
    key: str
    content_type: str
    watch: PartWatch = unwatched
    before_storing: Callable[[], None] = lambda: None
    look: KeyLook | None = None

    def __post_init__(self) -> None:
        self.schedule = part_plan_for(self.source.size_bytes)
        self.plan = {
            part.number: part for part in plan_parts(self.source.size_bytes, self.schedule)
        }
        self.session = MultipartSession(self.engine, self.target, self.key, self.watch)
        self._checksums = self.session.checksums

    def run(self) -> tuple[PutOutcome, Checksum | None]:
        """Store the file. Raises the library's exceptions; conflict is an outcome, not an error."""
        for _ in range(_ATTEMPTS):
            look = self.look or KeyLook(self.engine, self.target, self.key)
            self.look = None
            outcome = None if look.head() is None else self._compare_existing()
            if outcome is not None:
                return outcome, None
            preparing = self.engine.run_request(self.before_storing)
            upload_id, stored = self.session.resume_or_create(
                look.uploads(), self.content_type, self.schedule, self._all_match
            )
            self.session.resume(upload_id, stored.values())
            try:
                return PutOutcome.CREATED, self._finish(upload_id, stored, preparing)
            except OrchestratorError as error:
                # Somebody completed, aborted or wrote into the same upload, or took the key.
                # What became of the key is read again from S3.
                if not is_concurrent_change(error):
                    raise
                if isinstance(error, ConflictError):
                    self.session.abort(upload_id)
            finally:
                wait([preparing])
        raise UnavailableError(
            f"upload of {printable(self.key)}: its multipart upload keeps being ended elsewhere",
            retryable=True,
        )

    def _compare_existing(self) -> PutOutcome | None:
        # The digests of parts that were hashed already are reused.
        own = self._checksums.composite("sha256", len(self.plan))
        known = StoredChecksum(own, self.schedule) if own else None
        size_bytes = self.source.size_bytes
        return self.session.run(self.target.compare(self.key, self.source, size_bytes, known))

    # --- what is there already -----------------------------------------------------------

    def _all_match(self, parts: dict[int, StoredPart]) -> bool:
        """Return True if every stored part holds the local bytes; one that differs is not ours."""
        if not all(map(self._fits_plan, parts.values())):
            return False
        ordered = [parts[number] for number in sorted(parts)]
        # The first part tells most strangers apart, before all the others are hashed.
        return all(map(self._part_matches, ordered[:1])) and all(
            self.engine.parts.map(ordered[1:], _memory, lambda part, _: self._part_matches(part))
        )

    def _fits_plan(self, stored: StoredPart) -> bool:
        part = self.plan.get(stored.number)
        return part is not None and part.size_bytes == stored.size_bytes

    def _part_matches(self, stored: StoredPart) -> bool:
        return holds(stored, self._digest(self.plan[stored.number], stored.sha256 is None))

    # --- sending what is missing ---------------------------------------------------------

    def _finish(
        self, upload_id: str, stored: dict[int, StoredPart], preparing: Future[None]
    ) -> Checksum | None:
        missing = [part for number, part in self.plan.items() if number not in stored]
        sent = self.engine.parts.map(missing, _memory, partial(self._send, upload_id))
        self.source.ensure_unchanged()
        parts = [*stored.values(), *sent]
        size_bytes = self.source.size_bytes
        preparing.result()
        return self.session.complete(upload_id, parts, size_bytes, self._own_checksum)

    def _send(self, upload_id: str, part: Part, reservation: MemoryReservation) -> StoredPart:
        with_md5 = not self.target.verifies_sha256
        if part.size_bytes > BASE_PART_BYTES:
            # From here on, no part of this file takes one.
            self.engine.buffers.clear()
            digests = self._digest(part, with_md5)
            source = FilePartReader(self.source, part, reservation)
            return self.session.send(upload_id, part, source, digests)
        body = BufferedPart(self.source, part, reservation, self.engine.buffers)
        try:
            digests = self._checksums.add_data(part, body.view(), with_md5)
            return self.session.send(upload_id, part, body, digests)
        finally:
            body.release()

    def _digest(self, part: Part, with_md5: bool) -> PartDigests:
        with self.engine.read_buffers.lent() as buffer:
            source = LentBufferReader(self.source, buffer)
            return self._checksums.compute(part, source, part.offset_bytes, with_md5)

    def _own_checksum(self, stored: StoredChecksum) -> Checksum:
        own = None
        if stored.schedule == self.schedule:
            own = self._checksums.composite(stored.checksum.algorithm, len(self.plan))
        return own or compute_checksum_like(self.source, self.source.size_bytes, stored)


def _memory(part: Part | StoredPart) -> int:
    """Return how many bytes of the memory limit a part takes.

    A large one is read in steps and holds less, but its connection and its thread hold memory too:
    200 MiB for sixty of them.
    """
    return min(part.size_bytes, BASE_PART_BYTES)
