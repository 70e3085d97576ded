"""Store one large file by a multipart upload that any host can resume.

Nothing but S3's own list of unfinished uploads and their parts says what is there already. Nothing
is trusted by name or size alone: a stored part counts when its checksum equals the local part's.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UnsupportedError,
)
from orchestrator_cli.core.base.memory_limiter import MemoryReservation
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.bucket.multipart import MultipartUploads, PartDigests, StoredPart
from orchestrator_cli.core.s3.checksum import hash_range
from orchestrator_cli.core.s3.compare import StoredChecksum, compute_checksum_like
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, Part, part_plan_for, plan_parts
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.local_file import LocalFile
from orchestrator_cli.core.transfer.upload.part_checksums import (
    PartChecksums,
    holds,
    verify_completed_object,
)
from orchestrator_cli.core.transfer.upload.part_source import BufferedPartBody, FilePartBody

_ATTEMPTS = 4
_LOOKS_AT_OTHERS = 16
_LOST_UPLOAD_CODES = frozenset({"NoSuchUpload", "NoSuchKey", "404"})
_FOREIGN_PART_CODES = frozenset({"InvalidPart", "InvalidPartOrder"})

# An upload id, and the stored parts by number.
FoundUpload = tuple[str, dict[int, StoredPart]]


@dataclass
class TransferStats:
    """Bytes found in an unfinished upload, and bytes whose arrival S3 acknowledged."""

    resumed_bytes: int = 0
    sent_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add_resumed(self, size_bytes: int) -> None:
        """Count bytes that were there already; from any thread."""
        with self._lock:
            self.resumed_bytes += size_bytes

    def add_sent(self, size_bytes: int) -> None:
        """Count bytes whose arrival was acknowledged; from any thread."""
        with self._lock:
            self.sent_bytes += size_bytes


@dataclass
class MultipartUploader:
    """The upload of one file of more than one part. Use once."""

    engine: TransferEngine
    source: LocalFile
    key: str
    content_type: str
    count: TransferStats = field(default_factory=TransferStats)

    def __post_init__(self) -> None:
        self.schedule = part_plan_for(self.source.size_bytes)
        self.plan = {
            part.number: part for part in plan_parts(self.source.size_bytes, self.schedule)
        }
        self._ledger = PartChecksums()
        self._found: list[FoundUpload] = []
        # (upload id, part number) of what was sent or found: found again, it is not counted twice.
        self._counted: set[tuple[str, int]] = set()

    def run(self) -> tuple[PutOutcome, Checksum | None]:
        """Store the file. Raises the library's exceptions; conflict is an outcome, not an error."""
        for _ in range(_ATTEMPTS):
            outcome = self._existing()
            if outcome is not None:
                return outcome, None
            upload_id, stored = self._find_or_create()
            try:
                return self._finish(upload_id, stored)
            except OrchestratorError as error:
                # Somebody completed, aborted or wrote into the same upload, or took the key.
                # What became of the key is read again from S3.
                if not is_concurrent_change(error):
                    raise
                if isinstance(error, ConflictError):
                    self._abandon(upload_id)
        raise UnavailableError(
            f"upload of {printable(self.key)}: its multipart upload keeps being ended elsewhere",
            retryable=True,
        )

    def _existing(self) -> PutOutcome | None:
        # Parts that were hashed already save hashing the file again.
        own = self._ledger.composite("sha256", len(self.plan))
        known = StoredChecksum(own, self.schedule) if own else None
        size_bytes = self.source.size_bytes
        return self.engine.store.compare(self.key, self.source, size_bytes, known)

    # --- what is there already -----------------------------------------------------------

    def _find_or_create(self) -> tuple[str, dict[int, StoredPart]]:
        self._found = unfinished_uploads(self.engine.uploads, self.key)
        for upload_id, parts in filter(self._is_candidate, self._found):
            if self._all_match(parts):
                self._count_resumed(upload_id, parts)
                return upload_id, parts
        uploads = self.engine.uploads
        return uploads.create(self.key, self.content_type, self.schedule), {}

    def _count_resumed(self, upload_id: str, parts: dict[int, StoredPart]) -> None:
        for part in parts.values():
            if (upload_id, part.number) not in self._counted:
                self.count.add_resumed(part.size_bytes)
                self.engine.on_bytes(part.size_bytes)
                self._counted.add((upload_id, part.number))

    def _is_candidate(self, upload: FoundUpload) -> bool:
        # One without parts is worth nothing, and may be that of somebody who has just begun to
        # store other content: two that write into one upload spoil it for each other.
        return bool(upload[1]) and all(map(self._fits_plan, upload[1].values()))

    def _fits_plan(self, stored: StoredPart) -> bool:
        part = self.plan.get(stored.number)
        return part is not None and part.size_bytes == stored.size_bytes

    def _all_match(self, parts: dict[int, StoredPart]) -> bool:
        """Say whether every stored part holds the local bytes; one that differs is not ours."""
        ordered = [parts[number] for number in sorted(parts)]
        # The first part tells most strangers apart, before all the others are hashed.
        return all(map(self._matches, ordered[:1])) and all(
            self.engine.parts.map(ordered[1:], _memory, lambda part, _: self._matches(part))
        )

    def _matches(self, stored: StoredPart) -> bool:
        part = self.plan[stored.number]
        return holds(stored, self._digest_part(part, with_md5=stored.sha256 is None))

    # --- sending what is missing ---------------------------------------------------------

    def _finish(
        self, upload_id: str, stored: dict[int, StoredPart]
    ) -> tuple[PutOutcome, Checksum | None]:
        missing = [part for number, part in self.plan.items() if number not in stored]
        sent = self.engine.parts.map(missing, _memory, partial(self._send, upload_id))
        self.source.check_unchanged()
        if not self.engine.store.clients.is_aws:
            # Not every server heeds If-None-Match on completion: look once more, right before.
            wait_for_earlier_uploads(self.engine, self.key, upload_id)
            outcome = self._existing()
            if outcome is not None:
                self._abandon(upload_id)
                return outcome, None
        self.engine.uploads.complete(
            self.key, upload_id, [*stored.values(), *sent], self.source.size_bytes
        )
        checksum = self._verify_stored()
        abort_other_uploads(self.engine.uploads, self.key, upload_id, self._found)
        return PutOutcome.CREATED, checksum

    def _send(self, upload_id: str, part: Part, lease: MemoryReservation) -> StoredPart:
        store = self.engine.store
        with_md5 = not store.verified_by_server
        upload = partial(self.engine.uploads.upload_part, self.key, upload_id, part)
        if part.size_bytes <= BASE_PART_BYTES:
            buffers = self.engine.buffers
            body = BufferedPartBody(self.source, part, lease, buffers)
            try:
                stored = upload(body, self._ledger.note_bytes(part.number, body.view(), with_md5))
            finally:
                body.release()
        else:
            digests = self._digest_part(part, with_md5)
            stored = upload(FilePartBody(self.source, part, lease), digests)
        self._counted.add((upload_id, part.number))
        self.count.add_sent(part.size_bytes)
        self.engine.on_bytes(part.size_bytes)
        return stored

    def _digest_part(self, part: Part, with_md5: bool) -> PartDigests:
        known = self._ledger.get(part.number)
        if known is not None and (known.md5 is not None or not with_md5):
            return known
        digests = PartDigests(
            known.sha256 if known else self._hash(part, "sha256"),
            self._hash(part, "md5") if with_md5 else None,
        )
        return self._ledger.note(part.number, digests)

    def _hash(self, part: Part, algorithm: str) -> bytes:
        return hash_range(self.source, algorithm, part.offset_bytes, part.size_bytes)

    # --- checking what is stored ---------------------------------------------------------

    def _verify_stored(self) -> Checksum | None:
        size_bytes = self.source.size_bytes
        return verify_completed_object(self.engine.store, self.key, size_bytes, self._own_checksum)

    def _own_checksum(self, stored: StoredChecksum) -> Checksum:
        own = None
        if stored.schedule == self.schedule:
            own = self._ledger.composite(stored.checksum.algorithm, len(self.plan))
        return own or compute_checksum_like(self.source, self.source.size_bytes, stored)

    def _abandon(self, upload_id: str) -> None:
        self.engine.uploads.abort_best_effort(self.key, upload_id)


def _memory(part: Part | StoredPart) -> int:
    """Return what a part takes of the budget.

    A large one is read in steps and holds less, but its connection and its thread hold memory too:
    sixty of them had become 200 MiB.
    """
    return min(part.size_bytes, BASE_PART_BYTES)


def unfinished_uploads(uploads: MultipartUploads, key: str) -> list[FoundUpload]:
    """Return the upload ids and stored parts of a key's unfinished uploads, the fullest first.

    One that cannot be taken over, since it has another checksum, comes without its parts.
    """
    found = []
    try:
        for upload in uploads.list_uploads(key):
            if upload.key == key:
                # An upload that ends between the two calls is simply no candidate.
                with contextlib.suppress(NotFoundError):
                    taken = upload.takes_sha256
                    parts = uploads.list_parts(key, upload.upload_id) if taken else {}
                    found.append((upload.upload_id, parts))
    except (AccessError, UnsupportedError):
        # Without the permission, or a server that lists, only resuming is lost.
        return []
    return sorted(found, key=lambda item: len(item[1]), reverse=True)


def abort_other_uploads(
    uploads: MultipartUploads, key: str, completed_id: str, found: Iterable[FoundUpload]
) -> None:
    """Give up the other unfinished uploads of a key that is taken now: none can complete.

    Such as an interrupted one that had no part yet, or one of other content.
    """
    others = {upload_id for upload_id, _ in found}
    if uploads.may_have_orphan(key):
        with contextlib.suppress(OrchestratorError):
            others |= {one.upload_id for one in uploads.list_uploads(key) if one.key == key}
    for upload_id in others - {completed_id}:
        uploads.abort_best_effort(key, upload_id)


def wait_for_earlier_uploads(engine: TransferEngine, key: str, upload_id: str) -> None:
    """Let the uploads of the same key that began earlier end first, for about two seconds.

    Where completing overwrites, several that look at the same moment would all find the key free.
    It is no lock: one that was interrupted does not end.
    """
    for _ in range(_LOOKS_AT_OTHERS):
        try:
            found = [one for one in engine.uploads.list_uploads(key) if one.key == key]
        except (AccessError, UnsupportedError):
            return
        found.sort(key=lambda one: (one.initiated_at, one.upload_id))
        if upload_id not in [one.upload_id for one in found[1:]]:
            return
        engine.store.retry.wait_a_moment()


def is_concurrent_change(error: OrchestratorError) -> bool:
    """Say whether somebody else completed, aborted or wrote into the same upload."""
    if isinstance(error, NotFoundError):
        return error.code in _LOST_UPLOAD_CODES
    return isinstance(error, ConflictError) or error.code in _FOREIGN_PART_CODES
