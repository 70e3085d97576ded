"""The records that commands print of files, executions and searches; sizes in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_cli.core.base.errors import EXIT_CODES
from orchestrator_cli.core.efs.events import SyncState
from orchestrator_cli.core.executions.record.metadata import Result
from orchestrator_cli.core.retention.restore import RestoreOutcome
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.download.verify import Finding


def one_of(values: Iterable[str | int]) -> Any:
    """Return what restricts a field to these values."""
    return Field(json_schema_extra={"enum": [*values]})


# A code of the table in orchestrator(1); 0 where nothing failed.
ExitCode = Annotated[int, one_of(EXIT_CODES)]
# What became of a file that is sent or fetched.
_FAILED, _SKIPPED = "failed", "skipped"
_RESTORES = [outcome for outcome in RestoreOutcome if outcome is not RestoreOutcome.ARCHIVED]


class OutputRecord(BaseModel):
    """One object. No other fields are printed."""

    model_config = ConfigDict(extra="forbid")


class Restore(OutputRecord):
    """The copy of an archived file that can be read."""

    ongoing: bool = Field(description="Whether it is still being made.")
    expires_at: datetime | None = Field(description="Until when it can be read.")


class ListedFile(OutputRecord):
    """A stored file."""

    path: str = Field(description="Relative to the execution.")
    key: str
    size_bytes: int
    last_modified: datetime
    storage_class: str
    restore: Restore | None
    etag: str


class UploadedFile(OutputRecord):
    """What became of a file; with --dry-run, what would."""

    source: str = Field(description="The local path, or `-` for standard input.")
    path: str | None = Field(description="Where it is stored, relative to the execution.")
    key: str | None
    size_bytes: int
    outcome: Annotated[str, one_of([*PutOutcome, _FAILED, _SKIPPED])] | None = Field(
        description="Null in a dry run where the file would be sent."
    )
    resumed_bytes: int = Field(description="What an earlier try had sent.")
    sent_bytes: int
    checksum: str | None
    error: str | None = Field(description="Why it is not stored, or was skipped.")
    exit_code: ExitCode
    retry_may_help: bool = Field(
        description="Whether it failed for a reason that may pass while the file stays as it is."
    )
    content_type: str = Field(default="", description="With --dry-run only.")


class DownloadedFile(OutputRecord):
    """What became of a file."""

    path: str
    destination: str = Field(description="The local path.")
    size_bytes: int
    outcome: Annotated[str, one_of([*PutOutcome, _FAILED])]
    resumed_bytes: int
    error: str | None
    exit_code: ExitCode


class VerifiedFile(OutputRecord):
    """What was found of a file."""

    path: str
    finding: Annotated[str, one_of(Finding)]
    detail: str = Field(description="The checksum, or what is wrong.")
    size_bytes: int


class FileLink(OutputRecord):
    """A presigned URL of a file."""

    path: str
    url: str = Field(description="A secret until it expires.")
    expires_at: datetime
    expiry_certain: bool = Field(description="Whether the credentials cannot end before.")
    expires_in_seconds: int
    size_bytes: int


class PageLink(OutputRecord):
    """With --ui: the page of an execution or of a log."""

    execution_id: str
    log: str | None
    url: str


class MatchedLine(OutputRecord):
    """A line that matches, or one around it."""

    execution_id: str
    log: str
    line: int = Field(description="Its number, from 1.")
    offset_bytes: int
    is_match: bool
    text: str


class MatchCount(OutputRecord):
    """With --count: how many lines of a log match."""

    execution_id: str
    log: str
    count: int


class MatchedLog(OutputRecord):
    """With --files-with-matches: a log that has a match."""

    execution_id: str
    log: str


class RestoredFile(OutputRecord):
    """What became of an archived file."""

    path: str
    size_bytes: int
    storage_class: str
    outcome: Annotated[str, one_of(_RESTORES)]
    expires_at: datetime | None
    error: str | None


class IndexedLog(OutputRecord):
    """What is noted of a log."""

    log: str
    size_bytes: int
    line_count: int
    error_count: int = Field(description="Lines that look like errors.")


class SyncedFile(OutputRecord):
    """What became of a file of a bench."""

    bench_id: str | None
    execution_id: str | None
    source: str
    path: str | None
    size_bytes: int
    sent_bytes: int
    outcome: Annotated[str, one_of(SyncState)]
    error: str | None
    exit_code: ExitCode


class PlannedSync(OutputRecord):
    """With --dry-run: what would be done with a file."""

    bench_id: str
    execution_id: str
    source: str
    path: str
    key: str
    size_bytes: int
    would_delete: bool


class PassTotals(OutputRecord):
    """The totals of a pass."""

    executions: int
    created: int
    identical: int
    stored: int = Field(description="Files that S3 held already.")
    settling: int
    skipped: int
    deleted: int
    undeleted: int
    failed: int
    conflicts: int
    unavailable: int
    sent_bytes: int
    deleted_bytes: int


class SyncTotals(OutputRecord):
    """The last line of a pass."""

    totals: PassTotals = Field(alias="pass")


class SalvagedLog(OutputRecord):
    """What became of one live log."""

    path: str
    size_bytes: int
    whole: bool = Field(description="Whether its writer had ended it.")
    outcome: Annotated[str, one_of(PutOutcome)] | None = Field(
        description="Null where it could not be stored."
    )
    error: str | None


class SalvagedExecution(OutputRecord):
    """An execution that is finished by what its live logs hold."""

    execution_id: str
    result: Annotated[str, one_of(Result)]
    logs: list[SalvagedLog]


class AdapterFinding(OutputRecord):
    """What is wrong or odd in a bench's directory."""

    path: str
    level: Literal["error", "note"]
    text: str
