"""The state of one pass over one execution."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.record import BenchRecord
from orchestrator_cli.core.efs.events import SyncState
from orchestrator_cli.core.efs.tree import BenchExecution
from orchestrator_cli.core.executions.keys import metadata_key
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.s3.types import ObjectSummary, UploadResult
from orchestrator_cli.core.transfer.upload.plan import PlannedFile

# Stands for the ETag of what was stored since the listing.
_UNSEEN = "-"


@dataclass
class SyncPass:
    """What S3 held of an execution when the pass began, and what has become of its files since."""

    execution: BenchExecution
    # By key; what the pass itself stores is added.
    stored: dict[str, ObjectSummary]
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
    # The directories that the pass has removed files from.
    emptied: set[Parts] = field(default_factory=set)

    @property
    def has_record(self) -> bool:
        """Return True where S3 holds the execution's `metadata.json`."""
        return metadata_key(self.execution.execution_id) in self.stored

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
        return self.stored[key].etag if key in self.stored else ""

    def note_held(self, path: str) -> None:
        """Note that S3 holds a file of the tree; only what was a failure before is of interest."""
        failures = self.metadata.failures if self.metadata is not None else ()
        if any(one.path == path for one in failures):
            self.held.add(path)

    def add_stored(self, key: str, size_bytes: int, now: datetime) -> None:
        """Note that S3 holds an object that the listing did not show, or not so."""
        self.stored[key] = ObjectSummary(key, size_bytes, _UNSEEN, now)

    def failures(self) -> dict[str, str]:
        """Return the paths that were not stored, with their errors, for the record."""
        failed = {
            result.path or printable(result.source): str(result.error)
            for result in self.failed.values()
            if SyncState.of(result) in (SyncState.FAILED, SyncState.CONFLICT)
        }
        return failed | self.unplaced
