"""The responses of the read endpoints, as the OpenAPI document describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.gateway.error_kinds import PROBLEM_TYPE
from orchestrator_cli.core.gateway.messages.fields import EXAMPLE_ID
from orchestrator_cli.core.live.state import Liveness

Id = Annotated[
    str,
    Path(
        description="The id of the execution, a ULID.",
        examples=[EXAMPLE_ID],
        # For the document only. The library validates ids, and its messages are better.
        json_schema_extra={"pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"},
    ),
]
Cursor = Annotated[
    str | None, Query(description="The next_cursor of the previous page.", max_length=3000)
]
_EXPIRY_CERTAIN = "False if the server's credentials, and with them the URL, may expire sooner."
EXAMPLE_LOG_URL = (
    f"https://bucket.s3.eu-central-1.amazonaws.com/executions/{EXAMPLE_ID}/logs/stdout.log?…"
)


class Restore(BaseModel):
    """A restore of a file from an archive class."""

    ongoing: bool
    expires_at: datetime | None = Field(description="When the restored copy is removed.")


class File(BaseModel):
    """A stored file, with a URL that reads it without credentials until `expires_at`."""

    path: str = Field(examples=["logs/stdout.log"])
    size_bytes: int = Field(examples=[1234])
    checksum: str | None = Field(
        description="The checksum in the manifest; null until the execution is finished.",
        examples=["sha256:" + "0a" * 32],
    )
    content_type: str = Field(examples=["text/plain; charset=utf-8"])
    storage_class: str = Field(examples=["STANDARD"])
    restore: Restore | None = Field(
        description="The restore of a file in an archive class; null if there is none."
    )
    etag: str = Field(examples=["098f6bcd4621d373cade4e832627b4f6"])
    last_modified: datetime
    url: str | None = Field(
        description="Null for a file in an archive class: restore it with `orchestrator restore`.",
        examples=[EXAMPLE_LOG_URL],
    )


class FileDetails(File):
    """A stored file, with everything that is needed to recompute its checksum."""

    checksum: str | None = Field(
        description="The checksum that S3 keeps; null if it keeps none.",
        examples=["sha256:" + "0a" * 32],
    )
    sha256: str | None = Field(
        description="The SHA-256 in the user metadata of a file that was uploaded in one request."
    )
    part_schedule: str | None = Field(
        description="The part sizes of a file that was uploaded in several parts."
    )
    expires_at: datetime = Field(description="When the URL expires.")
    expiry_certain: bool = Field(description=_EXPIRY_CERTAIN)


class Record(BaseModel):
    """The object metadata.json, whose content `GET /executions/{execution_id}` returns."""

    size_bytes: int
    etag: str
    last_modified: datetime


class FilePage(BaseModel):
    """A page of an execution's files."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    artifacts: list[File]
    record: Record | None = Field(
        description="The object metadata.json. It is on one page of a listing, in the order of "
        "the keys; null on the others and in listings whose `prefix` excludes it."
    )
    expires_at: datetime = Field(description="When the URLs expire.")
    expiry_certain: bool = Field(description=_EXPIRY_CERTAIN)
    next_cursor: str | None = Field(
        description="The `cursor` of the next page; null on the last page."
    )


class Unreadable(BaseModel):
    """An execution whose metadata cannot be read."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    error: str
    kind: str = Field(
        description="What the error is, as in the `type` of a problem: `integrity` for metadata "
        "that is not valid, `not-found` for none, `unavailable` where the storage did not answer.",
        examples=["integrity"],
    )


class ExecutionWithLiveness(ExecutionMetadata):
    """The metadata of an execution, and whether its writer is alive."""

    liveness: Liveness | None = Field(
        description="For a running execution with live logs: `silent` after 90 seconds without a "
        "sign of life from its writer, `lost` after five minutes. Otherwise null.",
        examples=[None],
    )


class ExecutionPage(BaseModel):
    """A page of the executions of a time window, without their manifests."""

    executions: list[ExecutionWithLiveness]
    unreadable: list[Unreadable]
    next_cursor: str | None = Field(
        description="The `cursor` of the next page; null on the last page. A page can be short or "
        "empty and still have a next one, because one request reads a limited number of executions."
    )


class Problem(BaseModel):
    """An error, in the form of RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:orchestrator:error:not-found"])
    title: str = Field(examples=["No such execution or file"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=[f"no such execution: {EXAMPLE_ID}"])
    exit_code: int | None = Field(default=None, examples=[4])
    hint: str | None = None
    code: str | None = Field(default=None, description="The error code of S3, if it sent one.")
    request_id: str | None = None


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {PROBLEM_TYPE: {"schema": Problem.model_json_schema()}},
    }
    for status, text in {
        400: "The request is not valid.",
        401: "A valid bearer token is needed.",
        403: "The token does not allow this request.",
        404: "There is no such execution or file.",
        409: "The file is archived and has to be restored, or its name is taken.",
        413: "The body is too long, or has no Content-Length.",
        414: "The URL is too long.",
        415: "The body is not JSON.",
        421: "A server without tokens accepts requests to localhost only.",
        431: "The headers are too long.",
        502: "The storage denies access, or what it holds is not valid.",
        503: "The storage is unavailable, or the server is busy; see Retry-After.",
        504: "The request took too long.",
    }.items()
}
REDIRECT: dict[int | str, dict[str, Any]] = {
    307: {"description": "`Location` is a URL that works without a token until it expires."},
    **ERRORS,
}
