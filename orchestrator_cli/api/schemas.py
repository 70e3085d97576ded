"""The answers as the OpenAPI document describes them, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.gateway.error_kinds import PROBLEM_TYPE
from orchestrator_cli.core.gateway.message_fields import EXAMPLE_ID
from orchestrator_cli.core.live.state import Liveness

Id = Annotated[
    str,
    Path(
        description="A ULID.",
        examples=[EXAMPLE_ID],
        # The document says it; what is wrong with another one the library says better.
        json_schema_extra={"pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"},
    ),
]
Cursor = Annotated[
    str | None, Query(description="next_cursor of the page before.", max_length=3000)
]
_URL = f"https://bucket.s3.eu-central-1.amazonaws.com/executions/{EXAMPLE_ID}/logs/stdout.log?…"


class Restore(BaseModel):
    """A restore from an archive class."""

    ongoing: bool
    expires_at: datetime | None = Field(description="Until when the file can be read.")


class File(BaseModel):
    """A stored file and a URL that reads it without credentials until `expires_at`."""

    path: str = Field(examples=["logs/stdout.log"])
    size_bytes: int = Field(examples=[1234])
    checksum: str | None = Field(
        description="As the manifest of a finished execution has it; null before.",
        examples=["sha256:" + "0a" * 32],
    )
    content_type: str = Field(examples=["text/plain; charset=utf-8"])
    storage_class: str = Field(examples=["STANDARD"])
    restore: Restore | None = Field(
        description="Of a file in an archive class: null where nothing was restored."
    )
    etag: str = Field(examples=["098f6bcd4621d373cade4e832627b4f6"])
    last_modified: datetime
    url: str | None = Field(
        description="Null for a file in an archive class: `orchestrator restore` brings it back.",
        examples=[_URL],
    )


class FileDetails(File):
    """A stored file, with all that says how to recompute its checksum."""

    checksum: str | None = Field(
        description="S3's own, where it keeps one.", examples=["sha256:" + "0a" * 32]
    )
    sha256: str | None = Field(description="As recorded with a file that was sent whole.")
    part_schedule: str | None = Field(description="How a file of several parts was cut.")
    expires_at: datetime = Field(description="When the URL ends.")
    expiry_certain: bool = Field(description="False where the server's credentials may end sooner.")


class Record(BaseModel):
    """What is stored as metadata.json, which `GET /executions/{execution_id}` reads."""

    size_bytes: int
    etag: str
    last_modified: datetime


class FilePage(BaseModel):
    """Some of an execution's files."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    artifacts: list[File]
    record: Record | None = Field(
        description="On the page of a whole listing at whose place metadata.json comes."
    )
    expires_at: datetime = Field(description="When the URLs end.")
    expiry_certain: bool = Field(description="False where the server's credentials may end sooner.")
    next_cursor: str | None = Field(description="Ask again with it; null on the last page.")


class Unreadable(BaseModel):
    """An execution whose metadata cannot be read."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    error: str


class JudgedExecution(ExecutionMetadata):
    """The metadata of an execution, and whether its writer is there."""

    liveness: Liveness | None = Field(
        description="Of a running execution whose logs are live: silent after 90 s without a sign "
        "of life, lost after five minutes. Else null.",
        examples=[None],
    )


class ExecutionPage(BaseModel):
    """Executions of a time window, in the order asked for, without their manifests."""

    executions: list[JudgedExecution]
    unreadable: list[Unreadable]
    next_cursor: str | None = Field(
        description="Ask again with it; null on the last page. A page may be short, or empty, "
        "and have a next one: only so many executions are looked at in one request."
    )


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:orchestrator:error:not-found"])
    title: str = Field(examples=["No such execution or file"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=[f"no such execution: {EXAMPLE_ID}"])
    exit_code: int | None = Field(default=None, examples=[4])
    hint: str | None = None
    code: str | None = Field(default=None, description="S3's error code, where it answered.")
    request_id: str | None = None


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {PROBLEM_TYPE: {"schema": Problem.model_json_schema()}},
    }
    for status, text in {
        400: "The request cannot be used as given.",
        401: "A valid bearer token is needed.",
        403: "The token is for something else.",
        404: "No such execution or file.",
        409: "Archived: restore it first. Or the name is taken.",
        413: "The body is too long, or has no length.",
        414: "The URL is too long.",
        415: "The body is not JSON.",
        421: "Without tokens only localhost is served.",
        431: "The headers are too long.",
        502: "The storage refuses, or what it holds is not valid.",
        503: "The storage is unavailable, or the server is busy; see Retry-After.",
        504: "The request took too long.",
    }.items()
}
REDIRECT: dict[int | str, dict[str, Any]] = {
    307: {"description": "Location is a URL that works without a token until it expires."},
    **ERRORS,
}
