"""`metadata.json`: the validated record of one execution. It takes pydantic to load."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from orchestrator_cli.core.base.errors import IntegrityError, UsageError
from orchestrator_cli.core.base.quantities import rfc3339
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.s3.types import SHA256_HEX, Checksum

SCHEMA_VERSION = 1


def _to_utc(value: datetime) -> datetime:
    # pydantic turns only ValueError into a validation error.
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is before year 1 or after year 9999 in UTC") from error


def _canonical_checksum(text: str) -> str:
    return str(Checksum.parse(text))


def _encodable(text: str) -> str:
    # Arguments are bytes: Python lets pass what is no text, and pydantic's JSON mangles it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not UTF-8 text") from error
    return text


def _canonical_id(text: str) -> str:
    # pydantic turns only ValueError into a validation error.
    try:
        return parse_execution_id(text)
    except UsageError as error:
        raise ValueError(error.message) from error


UtcTime = Annotated[
    AwareDatetime, AfterValidator(_to_utc), PlainSerializer(rfc3339, when_used="json")
]
Text = Annotated[str, AfterValidator(_encodable)]
ExecutionId = Annotated[str, AfterValidator(_canonical_id)]
ChecksumText = Annotated[str, AfterValidator(_canonical_checksum)]
Sha256Hex = Annotated[str, Field(pattern=rf"^{SHA256_HEX}$")]


class RunnerType(StrEnum):
    """Where the execution ran."""

    EC2 = "ec2"
    EKS = "eks"
    ONPREM = "onprem"


class Result(StrEnum):
    """How the test ended. `error`: it could not be run to its end."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


class Status(StrEnum):
    """Whether the execution is finished."""

    RUNNING = "running"
    COMPLETED = "completed"


class ArtifactStatus(StrEnum):
    """Whether everything the execution left is stored."""

    PENDING = "pending"
    COMPLETE = "complete"
    ARTIFACT_ERROR = "artifact_error"


class _Record(BaseModel):
    # extra="allow": fields of a newer version survive a read-modify-write of this one.
    model_config = ConfigDict(extra="allow")


class Artifact(_Record):
    """One line of the manifest. `path` is relative to the execution; size in bytes."""

    path: str
    size_bytes: int = Field(ge=0)
    # None where another tool stored the object and S3 holds no checksum that can be recomputed.
    checksum: ChecksumText | None
    content_type: str


class Failure(_Record):
    """A file that could not be stored, and why."""

    path: str
    error: str


class UnfinishedUpload(_Record):
    """An upload that has begun and not ended; see `UploadMark`."""

    upload_id: Text
    began_at: UtcTime
    paths: list[Text]
    more: bool = False
    selection: Text = ""

    @property
    def mark(self) -> UploadMark:
        """The same as an UploadMark."""
        return UploadMark.of(self.model_dump(mode="json"))


class RunDetails(_Record):
    """How `orchestrator run` ran its command; null values of the end until that is recorded."""

    command: list[Text]
    host: Text
    pid: int = Field(ge=0)
    tool_version: Text
    started_at: UtcTime
    ended_at: UtcTime | None = None
    duration_seconds: float | None = Field(default=None, ge=0)
    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: Text | None = None
    timed_out: bool = False
    summary: Text | None = None


def latest_run(
    recorded: RunDetails | None, given: RunDetails | None, *, agrees: bool
) -> RunDetails | None:
    """Return the run to record: one that has ended gives way to one that has, and `agrees`."""
    if recorded is None or given is None:
        return given or recorded
    is_newer = agrees and given.ended_at is not None
    return given if recorded.ended_at is None or is_newer else recorded


class ExecutionMetadata(_Record):
    """The content of `metadata.json`; times are RFC 3339 in UTC, sizes in bytes."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    execution_id: ExecutionId
    reservation_id: Text | None = None
    runner_type: RunnerType | None = None
    bench_id: Text | None = None
    test_suite: Text | None = None
    result: Result | None = None
    status: Status = Status.RUNNING
    artifact_status: ArtifactStatus = ArtifactStatus.PENDING
    started_at: UtcTime | None = None
    ended_at: UtcTime | None = None
    artifact_count: int = Field(default=0, ge=0)
    artifact_bytes: int = Field(default=0, ge=0)
    manifest_sha256: Sha256Hex | None = None
    artifacts: list[Artifact] | None = None
    failures: list[Failure] = Field(default_factory=list)
    unfinished_uploads: list[UnfinishedUpload] = Field(default_factory=list)
    tree_stored: bool = False
    labels: dict[Text, Text] = Field(default_factory=dict)
    run: RunDetails | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.started_at and self.ended_at and self.ended_at < self.started_at:
            raise ValueError("ended_at is before started_at")
        if self.bench_id is not None and self.runner_type not in (None, RunnerType.ONPREM):
            raise ValueError("bench_id is for runner_type onprem only")
        if self.status is Status.RUNNING and self.result is not None:
            raise ValueError("a running execution has no result")
        return self

    @property
    def is_onprem(self) -> bool:
        """Whether it has a tree on EFS: it ran on-prem, or on a bench, which is there only."""
        return self.runner_type is RunnerType.ONPREM or self.bench_id is not None

    def to_json(self) -> bytes:
        """Serialise, after validating again what was changed since."""
        checked = type(self).model_validate(self.model_dump())
        return checked.model_dump_json(indent=2).encode() + b"\n"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return self.model_dump(mode="json")


def parse_metadata(content: bytes, execution_id: str) -> ExecutionMetadata:
    """Validate `metadata.json`. Raises IntegrityError naming the first field that is wrong."""
    try:
        metadata = ExecutionMetadata.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise IntegrityError(
            f"metadata.json of {execution_id} is not valid: {describe(error)}",
            hint="something else wrote this object; restore it from a previous version",
        ) from error
    if metadata.execution_id != execution_id:
        raise IntegrityError(
            f"metadata.json of {execution_id} names another execution: {metadata.execution_id}"
        )
    return metadata


def build_metadata(**fields: Any) -> ExecutionMetadata:
    """Make a new record from user input. Raises UsageError naming the first field that is wrong."""
    try:
        return ExecutionMetadata(**fields)
    except ValidationError as error:
        raise UsageError(describe(error)) from error


def describe(error: ValidationError) -> str:
    """Say the first problem of a validation error in one line, without the input itself."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return printable(f"{where}: {what}" if where else what)
