"""Store a stream of unknown length in bounded memory.

A stream cannot be read twice, so each part is decided by itself: one that an unfinished upload of
the same key already holds is not sent again, which is how a repeated pipe resumes. Parts too large
for memory are spooled to an unlinked temporary file.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing

from orchestrator_cli.core.base.errors import (
    RESUME_HINT,
    ConflictError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.compare import StoredChecksum, best_stored_checksum
from orchestrator_cli.core.s3.operations.multipart import PartDigests
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.part_plan import (
    BASE_PART_BYTES,
    DOUBLING,
    Part,
    part_bytes,
    plan_parts,
)
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.engine import IN_FLIGHT_BYTES, TransferEngine
from orchestrator_cli.core.transfer.part_threads import FutureGroup
from orchestrator_cli.core.transfer.upload.parts.key_look import KeyLook
from orchestrator_cli.core.transfer.upload.parts.multipart_session import (
    MultipartSession,
    TransferStats,
    is_concurrent_change,
    is_in_the_way,
)
from orchestrator_cli.core.transfer.upload.parts.part_checksums import PartWatch, holds, unwatched
from orchestrator_cli.core.transfer.upload.parts.part_source import FilePartReader, MemoryPart
from orchestrator_cli.core.transfer.upload.parts.stream_parts import (
    BinaryStream,
    StreamPart,
    chain_parts,
    closing_each,
    hash_parts,
    read_part,
)
from orchestrator_cli.core.transfer.upload.target import FoundUpload, UploadTarget

# As many parts as can be in flight; while one is looked for, none is.
_MOST_AHEAD = IN_FLIGHT_BYTES // BASE_PART_BYTES


class StreamUpload:
    """The upload of one stream. Use once."""

    def __init__(
        self,
        engine: TransferEngine,
        target: UploadTarget,
        key: str,
        content_type: str,
        watch: PartWatch = unwatched,
    ) -> None:
        self._watch = watch
        self._engine = engine
        self._target = target
        self._key = key
        self._content_type = content_type
        self.session = MultipartSession(engine, target, key, watch)
        self._checksums = self.session.checksums
        self._lost: OrchestratorError | None = None
        self.size_bytes = 0

    def run(self, stream: BinaryStream) -> tuple[PutOutcome, Checksum | None]:
        """Store the stream to its end. Conflict is an outcome, not an error."""
        pieces = self._pieces(stream)
        ahead = deque(itertools.islice(pieces, 2))
        if len(ahead) < 2:
            return self._store_small(ahead.pop())
        for piece in ahead:
            self._digest(piece, with_md5=not self._target.verifies_sha256)
        # A name that stays would keep its part in memory to the end of the stream.
        del piece
        look = KeyLook(self._engine, self._target, self._key)
        head = look.head()
        if head is None:
            return self._store_parts(look.uploads(), ahead, pieces)
        return self._compare(head, chain_parts(ahead, pieces))

    def _pieces(self, stream: BinaryStream) -> Iterator[StreamPart]:
        """Cut the stream by the schedule; the first piece may be empty, no other is."""
        number = 1
        while True:
            piece = read_part(stream, number, self.size_bytes, self._engine.buffers)
            if piece.part.size_bytes == 0 and number > 1:
                return
            self.size_bytes += piece.part.size_bytes
            yield piece
            if piece.part.size_bytes < part_bytes(number):
                return
            number += 1

    def _store_small(self, piece: StreamPart) -> tuple[PutOutcome, Checksum | None]:
        with closing(piece):
            data = piece.read_at(0, piece.part.size_bytes)
        outcome, checksum = self.session.run(
            self._target.put_if_absent(self._key, data, self._content_type)
        )
        self._engine.on_bytes(len(data))
        self._engine.on_stored()
        if outcome is PutOutcome.CREATED:
            self._watch(piece.part)(data)
            self.session.count = TransferStats(sent_bytes=len(data))
        return outcome, checksum

    # --- the key is free -----------------------------------------------------------------

    def _store_parts(
        self, found: list[FoundUpload], ahead: deque[StreamPart], rest: Iterator[StreamPart]
    ) -> tuple[PutOutcome, Checksum | None]:
        upload_id, known = self.session.resume_or_create(
            found,
            self._content_type,
            DOUBLING,
            lambda parts: self._matches_prefix(parts, ahead, rest),
        )
        pieces = chain_parts(ahead, rest)
        group: FutureGroup[StoredPart] = FutureGroup()
        try:
            for piece in pieces:
                group.add(self._submit_part(upload_id, piece, known))
                # The next one is in memory too while it is read.
                group.wait_for_room(_MOST_AHEAD)
            parts = group.results()
            checksum = self.session.complete(upload_id, parts, self.size_bytes, self._own_checksum)
        except OrchestratorError as error:
            in_the_way = is_in_the_way(error)
            if not (is_concurrent_change(error) or (known and in_the_way)):
                raise
            if in_the_way or isinstance(error, ConflictError):
                self.session.abort(upload_id)
            # Parts that still wait for their turn are hashed: they cannot be read again.
            self._lost = error
            group.wait()
            return self._compare_with_winner(pieces, error)
        return PutOutcome.CREATED, checksum

    def _matches_prefix(
        self, parts: dict[int, StoredPart], ahead: deque[StreamPart], rest: Iterator[StreamPart]
    ) -> bool:
        """Return True if its first parts are the same as the stream's; else it is left alone.

        An interrupted upload may lack those read so far, but never all that were in flight.
        """
        missing = min(*parts, _MOST_AHEAD) - len(ahead)
        for piece in itertools.islice(rest, max(0, missing)):
            self._digest(piece, with_md5=not self._target.verifies_sha256)
            ahead.append(piece)
        known = [
            (parts[number], self._checksums.get(number))
            for number in range(1, len(ahead) + 1)
            if number in parts
        ]
        return bool(known) and all(own is not None and holds(part, own) for part, own in known)

    def _submit_part(
        self, upload_id: str, piece: StreamPart, known: dict[int, StoredPart]
    ) -> Future[StoredPart]:
        stored = known.get(piece.part.number)
        # Two spooled ones at once are enough disk.
        held_bytes = len(piece.data) if piece.data is not None else IN_FLIGHT_BYTES // 2
        future = self._engine.parts.submit(
            held_bytes, lambda _: self._send_once(upload_id, piece, stored)
        )
        # Also where it never begins, because another part has failed. A future keeps its callbacks
        # to the end: none may hold a piece.
        held = piece.held
        future.add_done_callback(lambda _: held.close())
        return future

    def _send_once(
        self, upload_id: str, piece: StreamPart, stored: StoredPart | None
    ) -> StoredPart:
        # Its buffer must be free before its memory is: the next part would take another.
        with closing(piece):
            return self._send(upload_id, piece, stored)

    def _send(self, upload_id: str, piece: StreamPart, stored: StoredPart | None) -> StoredPart:
        part = piece.part
        asked_for_md5 = stored is not None and stored.sha256 is None
        digests = self._digest(piece, asked_for_md5 or not self._target.verifies_sha256)
        if self._lost is not None:
            raise self._lost
        if stored is not None and stored.size_bytes == part.size_bytes and holds(stored, digests):
            self.session.resume(upload_id, [stored])
            return stored
        local = Part(part.number, 0, part.size_bytes)
        data = piece.data
        body = FilePartReader(piece, local) if data is None else MemoryPart(local, data)
        return self.session.send(upload_id, part, body, digests)

    def _digest(self, piece: StreamPart, with_md5: bool) -> PartDigests:
        known = self._checksums.get(piece.part.number)
        is_enough = known is not None and (known.md5 is not None or not with_md5)
        if piece.data is not None and not is_enough:
            return self._checksums.add_data(piece.part, piece.data, with_md5)
        return self._checksums.compute(piece.part, piece, 0, with_md5)

    # --- the key is taken ----------------------------------------------------------------

    def _compare_with_winner(
        self, pieces: Iterator[StreamPart], error: OrchestratorError
    ) -> tuple[PutOutcome, Checksum | None]:
        """Read the stream to its end and compare it with what somebody else completed."""
        head = self.session.run(self._target.head_for_compare(self._key))
        if head is None:
            given_up = is_in_the_way(error)
            reason = "holds parts of other content" if given_up else "was ended elsewhere"
            raise UnavailableError(
                f"upload of {printable(self._key)}: its multipart upload {reason}",
                hint="run the same command again: it begins afresh" if given_up else RESUME_HINT,
            ) from error
        stored = best_stored_checksum(head)
        with_md5 = stored is not None and stored.checksum.algorithm == "md5"
        for piece in closing_each(pieces):
            self._digest(piece, with_md5)
        same = head.size_bytes == self.size_bytes
        own = self._own_checksum(stored) if stored and same else None
        if stored is not None and own is not None:
            same = own == stored.checksum
        elif same:
            same = self._reads_back_alike()
        return (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT), None

    def _reads_back_alike(self) -> bool:
        """Compare the stored bytes with the parts' digests: the stream cannot be read again."""
        for part in plan_parts(self.size_bytes, DOUBLING):
            own = self._checksums.get(part.number)
            if own is None:
                # It was dropped with the upload before it was hashed, and is gone.
                raise UnavailableError(
                    f"upload of {printable(self._key)}: somebody else stored this key meanwhile",
                    hint="run the same command again: it compares, or resumes",
                )
            if own.sha256 != self._hash_stored(part):
                return False
        return True

    def _compare(
        self, head: ObjectMetadata, pieces: Iterator[StreamPart]
    ) -> tuple[PutOutcome, Checksum | None]:
        stored = best_stored_checksum(head)
        if stored is not None and stored.schedule == DOUBLING:
            same = self._same_parts(stored, pieces)
        elif stored is not None and stored.schedule is None:
            same = hash_parts(stored.checksum.algorithm, pieces) == stored.checksum.hex_digest
        else:
            same = self._same_bytes(head.size_bytes, pieces)
        same = same and self.size_bytes == head.size_bytes
        return (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT), None

    def _same_parts(self, stored: StoredChecksum, pieces: Iterator[StreamPart]) -> bool:
        for piece in closing_each(pieces):
            self._digest(piece, with_md5=stored.checksum.algorithm == "md5")
            self._engine.on_bytes(piece.part.size_bytes)
            self._engine.on_stored()
        return self._own_checksum(stored) == stored.checksum

    def _same_bytes(self, stored_size_bytes: int, pieces: Iterator[StreamPart]) -> bool:
        """Compare with the stored bytes; the stream is read to its end whatever they are."""
        same = True
        for piece in closing_each(pieces):
            part = piece.part
            if not same or part.offset_bytes + part.size_bytes > stored_size_bytes:
                same = False
                continue
            same = self._hash_stored(part) == self._digest(piece, with_md5=False).sha256
        return same

    def _hash_stored(self, part: Part) -> bytes:
        read = self._target.hash_stored_range(self._key, part.offset_bytes, part.size_bytes)
        return self.session.run(read)

    def _own_checksum(self, stored: StoredChecksum) -> Checksum | None:
        if stored.schedule != DOUBLING:
            return None
        count = stored.checksum.part_count or 0
        return self._checksums.composite(stored.checksum.algorithm, count)
