"""The state of one pass over one execution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.record import BenchRecord
from orchestrator_cli.core.efs.events import SyncState
from orchestrator_cli.core.efs.tree import BenchExecution
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.s3.types import ObjectSummary, UploadResult
from orchestrator_cli.core.transfer.upload.plan import PlannedFile


@dataclass
class SyncPass:
    """What S3 held of an execution when the pass began, and what has become of its files since."""

    execution: BenchExecution
    # Returns what is stored under a key. What the pass itself stores may be missing.
    find_stored: Callable[[str], ObjectSummary | None] = lambda key: None
    # Whether S3 holds the execution's `metadata.json`.
    has_record: bool = False
    # By the key of each file that the bench has promised, its size where the pass has stored it.
    promised: dict[str, int | None] = field(default_factory=dict)
    # The uploads under way, and then the failed ones and their results, by their local path.
    planned: dict[str, PlannedFile] = field(default_factory=dict)
    failed: dict[str, UploadResult] = field(default_factory=dict)
    # Why a local path could not be looked at or has no place in an execution.
    unplaced: dict[str, str] = field(default_factory=dict)
    # The paths of files that are here, and that S3 holds as they are here.
    held: set[str] = field(default_factory=set)
    created: int = 0
    # As it was last read or written; None for an execution that was not there.
    metadata: ExecutionMetadata | None = None
    # Whether the record said, before the tree was looked at, that the test is over. What is written
    # to it later says nothing of what the tree held then.
    was_finished: bool = False
    # Whether the record has said since that the test is over: then the tree may have changed, too.
    ended_meanwhile: bool = False
    # What the bench itself says, None where it says nothing.
    declared: BenchRecord | None = None
    # When the file that has rested longest was last changed, of those that were looked at.
    oldest_change: float = math.inf
    # The directories that the pass has removed files from.
    emptied: set[Parts] = field(default_factory=set)

    @property
    def is_finished(self) -> bool:
        """Return True where the record or the bench said, when it began, that the test is over."""
        return self.was_finished or (self.declared is not None and self.declared.is_finished)

    @property
    def is_recorded_finished(self) -> bool:
        """Return True where S3 has the result by now."""
        return self.metadata is not None and self.metadata.status is Status.COMPLETED

    def etag_of(self, key: str) -> str:
        """Return the ETag of a stored object, or nothing."""
        found = self.find_stored(key)
        return "" if found is None else found.etag

    def note_held(self, path: str) -> None:
        """Note that S3 holds a file of the tree; only what was a failure before is of interest."""
        failures = self.metadata.failures if self.metadata is not None else ()
        if any(one.path == path for one in failures):
            self.held.add(path)

    def note_stored(self, key: str, size_bytes: int) -> None:
        """Note that the pass has stored a file; its size is of interest where it was promised."""
        if key in self.promised:
            self.promised[key] = size_bytes

    def failures(self) -> dict[str, str]:
        """Return the paths that were not stored, with their errors, for the record."""
        failed = {
            result.path or printable(result.source): str(result.error)
            for result in self.failed.values()
            if SyncState.of(result) in (SyncState.FAILED, SyncState.CONFLICT)
        }
        return failed | self.unplaced
