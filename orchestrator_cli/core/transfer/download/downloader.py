"""Download files: parallel, verified before they get their name, resumable, never overwriting."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    RESUME_HINT,
    ArchivedError,
    CannotWriteError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    PartialFailureError,
    forget_frames,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.listings.executions import ListedFile
from orchestrator_cli.core.files.checks import UnsafeFileError
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.checksum import FdReader
from orchestrator_cli.core.s3.compare import StreamHasher, best_stored_checksum, check_listed_size
from orchestrator_cli.core.s3.operations.put import has_content
from orchestrator_cli.core.s3.operations.read import get_object_if_checksum_matches
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary, PutOutcome
from orchestrator_cli.core.transfer.download.destination import Destination, DownloadDirectory
from orchestrator_cli.core.transfer.download.partial_file import PartialFile, partial_file
from orchestrator_cli.core.transfer.download.range_reader import hash_in_thread, iter_range
from orchestrator_cli.core.transfer.engine import TransferEngine

# Failures that the next file would meet too.
_NOTHING_FITS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_MAKE_ROOM = "make room there, then run the same command again: it resumes"
_SEE_TO_IT = "see to its directory's space and permissions"
_ELSEWHERE = "choose another directory"
_SEE_TO_THAT = "see to that, then run the same command again: it fetches what is missing"
# Files up to here are fetched in one request and need no resuming.
_WHOLE_BYTES = 1024 * 1024


class DownloadResult(NamedTuple):
    """The result of one file. `outcome` is None where it failed; `error` says why."""

    path: str
    destination: Path
    size_bytes: int
    outcome: PutOutcome | None
    resumed_bytes: int = 0
    error: OrchestratorError | None = None


@dataclass
class DownloadSummary:
    """Totals of a run; sizes in bytes."""

    created: int = 0
    identical: int = 0
    received_bytes: int = 0
    failures: list[DownloadResult] = field(default_factory=list)

    def add(self, result: DownloadResult) -> None:
        """Count one result."""
        if result.error is not None:
            self.failures.append(result)
        elif result.outcome is PutOutcome.CREATED:
            self.created += 1
            self.received_bytes += result.size_bytes - result.resumed_bytes
        else:
            self.identical += 1

    def error(self) -> OrchestratorError | None:
        """Return the failure of the whole run, or None."""
        if not self.failures:
            return None
        total = len(self.failures) + self.created + self.identical
        failed = len(self.failures)
        which = "the file" if total == 1 else f"{failed:,} of {total:,} files"
        line = f"{which} {'was' if failed == 1 else 'were'} not downloaded"
        kinds = {type(result.error) for result in self.failures}
        first = self.failures[0].error
        telling = isinstance(first, ConflictError | IntegrityError | ArchivedError)
        done = self.created + self.identical
        whole = type(first) is not OrchestratorError and not done
        if first is not None and len(kinds) == 1 and (telling or whole):
            hint = first.hint or RESUME_HINT
            return type(first)(line, hint=hint, retryable=first.retryable)
        hints = {result.error.hint for result in self.failures if result.error}
        common = hints.pop() if len(hints) == 1 else None
        if any(result.error.retryable for result in self.failures if result.error):
            return PartialFailureError(line, hint=common or RESUME_HINT, retryable=True)
        return PartialFailureError(line, hint=common or _SEE_TO_THAT)


class Downloader:
    """Downloads files below one directory; `overwrite` replaces local files that differ."""

    def __init__(
        self,
        engine: TransferEngine,
        store: ObjectReader,
        directory: DownloadDirectory,
        on_result: Callable[[DownloadResult], None],
        overwrite: bool = False,
        check_readable: Callable[[ObjectSummary, str], None] = lambda listed, path: None,
    ) -> None:
        """`check_readable` tells of an archived object, and its path, before it is asked for."""
        self._engine = engine
        self._store = store
        self._directory = directory
        self._on_result = on_result
        self._overwrite = overwrite
        self._check_readable = check_readable

    def run(self, files: Iterable[ListedFile]) -> DownloadSummary:
        """Download (path, object) pairs; a failing file is a result, not an exception.

        Raises errors that are fatal, such as a disk that takes no more. A NotFoundError of `files`
        is raised when the others are done.
        """
        summary = DownloadSummary()
        missing: list[NotFoundError] = []
        for result in self._engine.run(map(self._download, _collecting(files, missing))):
            summary.add(result)
            self._on_result(result)
        if missing:
            raise missing[0]
        return summary

    def _download(self, file: ListedFile) -> Operation[DownloadResult]:
        path, listed = file
        try:
            self._check_readable(listed, path)
            place = self._directory.place(path)
            return (yield from self._download_to(path, listed, place))
        except OrchestratorError as error:
            if error.is_fatal:
                raise
            failure = error
        except OSError as error:
            destination = self._directory.path / path
            reason = f"cannot write {printable(destination)}: {error.strerror or error}"
            if error.errno in _NOTHING_FITS:
                hint = _ELSEWHERE if error.errno == errno.EROFS else _MAKE_ROOM
                raise CannotWriteError(reason, hint=hint, is_fatal=True) from error
            # A retry would meet the same link or file where a directory has to be.
            hint = _ELSEWHERE if isinstance(error, UnsafeFileError) else _SEE_TO_IT
            failure = CannotWriteError(reason, hint=hint)
        forget_frames(failure)
        destination = self._directory.path / path
        return DownloadResult(path, destination, listed.size_bytes, None, error=failure)

    def _download_to(
        self, path: str, listed: ObjectSummary, place: Destination
    ) -> Operation[DownloadResult]:
        done = partial(DownloadResult, path, place.path)
        if listed.size_bytes <= _WHOLE_BYTES and not place.is_taken():
            self._engine.held_bytes += listed.size_bytes
            try:
                content = yield from get_object_if_checksum_matches(listed.key)
                if content is not None and place.create(content):
                    place.check_still_there()
                    self._engine.on_bytes(len(content))
                    return done(len(content), PutOutcome.CREATED)
            finally:
                self._engine.held_bytes -= listed.size_bytes
        head = yield from self._store.index.head_for_compare(listed.key)
        if head is None:
            raise NotFoundError(f"{printable(path)}: not found")
        check_listed_size(head, listed.size_bytes)
        work = partial(self._compare_or_fetch, head, place)
        fetched: tuple[PutOutcome, int] = yield self._engine.run_file(work)
        outcome, resumed = fetched
        place.check_still_there()
        return done(head.size_bytes, outcome, resumed)

    def _compare_or_fetch(self, head: ObjectMetadata, place: Destination) -> tuple[PutOutcome, int]:
        """Return the outcome, and how many bytes an earlier run had fetched."""
        if self._already_downloaded(place, head):
            return PutOutcome.IDENTICAL, 0
        return self._fetch(head, place)

    def _already_downloaded(self, place: Destination, head: ObjectMetadata) -> bool:
        """Return True if these bytes are there. Raises ConflictError for others that must stay."""
        if not place.is_taken():
            return False
        if self._same(place, head):
            return True
        if place.is_directory():
            raise ConflictError(f"{printable(place.path)} is a directory", hint=_ELSEWHERE)
        if self._overwrite:
            return False
        raise ConflictError(
            f"{printable(place.path)} exists with other content; it was not touched",
            hint=f"{_ELSEWHERE}, or --overwrite",
        )

    def _same(self, place: Destination, head: ObjectMetadata) -> bool:
        opened = place.open()
        if opened is None:
            return False
        with opened as source:
            return self._store.run(has_content(head, source, source.size_bytes))

    # --- fetching ------------------------------------------------------------------------

    def _fetch(self, head: ObjectMetadata, place: Destination) -> tuple[PutOutcome, int]:
        """Fetch into a file of another name, verify, then name it; return the bytes resumed."""
        with partial_file(head, place, self._store.retry.wait) as arrived:
            try:
                outcome, resumed = self._finish_partial(head, arrived, place)
            except (ConflictError, IntegrityError):
                # No later run can use it.
                arrived.remove()
                raise
            arrived.remove()
            return outcome, resumed

    def _finish_partial(
        self, head: ObjectMetadata, arrived: PartialFile, place: Destination
    ) -> tuple[PutOutcome, int]:
        if self._already_downloaded(place, head):
            # The process that held the lock before has completed the file.
            return PutOutcome.IDENTICAL, 0
        resumed, is_right = self._append_missing(head, arrived)
        if resumed and not is_right:
            # What an earlier run left is damaged, as a power cut does.
            arrived.clear()
            resumed, is_right = self._append_missing(head, arrived)
        if not is_right:
            raise _corrupt(head)
        return self._rename_into_place(arrived, place, head), resumed

    def _append_missing(self, head: ObjectMetadata, arrived: PartialFile) -> tuple[int, bool]:
        """Fetch what the partial file lacks, in order, so that it is always a prefix.

        Return how much was there, and whether all of it is what is stored.
        """
        have = arrived.size_bytes
        if have > head.size_bytes:
            arrived.clear()
            have = 0
        self._engine.on_spared(have)
        blocks, stored, digests = self._blocks(head, have), best_stored_checksum(head), None
        if stored is not None and not have and head.size_bytes > BASE_PART_BYTES:
            # What is hashed while the next bytes are on their way is not waited for at the end.
            digests = StreamHasher(stored, head.size_bytes)
            blocks = hash_in_thread(blocks, digests)
        for block in blocks:
            self._store.retry.check_stopped()
            arrived.append(block)
            self._engine.on_bytes(len(block))
        if digests is not None and digests.matches(stored):
            return have, True
        source = FdReader(arrived.file.fileno())
        return have, self._store.run(has_content(head, source, arrived.size_bytes))

    def _blocks(self, head: ObjectMetadata, start_bytes: int) -> Iterable[memoryview]:
        left = head.size_bytes - start_bytes
        if head.size_bytes > BASE_PART_BYTES:
            return iter_range(self._store, head.key, start_bytes, head.size_bytes)
        # In one request, since many small files are fetched at once anyway.
        read = partial(self._store.get_range, object_bytes=head.size_bytes)
        return [read(head.key, start_bytes, left)] if left else []

    def _rename_into_place(
        self, arrived: PartialFile, place: Destination, head: ObjectMetadata
    ) -> PutOutcome:
        """Give a complete, verified file its name; without `overwrite` never over another."""
        try:
            arrived.publish(place.name, self._overwrite)
        except FileExistsError:
            # It appeared meanwhile, with these bytes or others.
            if self._already_downloaded(place, head):
                return PutOutcome.IDENTICAL
            raise
        return PutOutcome.CREATED


def _collecting(files: Iterable[ListedFile], missing: list[NotFoundError]) -> Iterator[ListedFile]:
    try:
        yield from files
    except NotFoundError as error:
        missing.append(error)


def _corrupt(head: ObjectMetadata) -> IntegrityError:
    return IntegrityError(
        f"{printable(head.key)}: the bytes received do not match their checksum",
        hint="run the same command again",
    )
