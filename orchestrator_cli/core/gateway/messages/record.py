"""The messages between a client and `orchestrator serve` about the record of an upload.

The server's OpenAPI document is made from these models and their field descriptions.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from orchestrator_cli.core.executions.record.upload_mark import MAX_PATHS
from orchestrator_cli.core.gateway.limits import MAX_CHANGES, MAX_ERROR_CHARACTERS
from orchestrator_cli.core.gateway.messages.fields import OfferedPath, StrictRequest


class BegunRequest(StrictRequest):
    """An upload that is about to store its first file."""

    upload_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$", examples=["3c" * 8])] = Field(
        description="A random number that the client chooses."
    )
    began_at: AwareDatetime = Field(strict=False, examples=["2026-01-30T08:00:00.000Z"])
    paths: list[OfferedPath] = Field(
        description="The paths of its files, or of the first ones.", max_length=MAX_PATHS
    )
    more: bool = Field(default=False, description="True if it has more files than `paths`.")
    selection: str = Field(
        default="",
        description="Which files of a directory it uploads, as the client describes it; empty for "
        "all.",
        max_length=1000,
    )


class BegunResponse(BaseModel):
    """The upload that was recorded."""

    upload_id: str = Field(examples=["3c" * 8])


class ResultsRequest(StrictRequest):
    """The results of an upload."""

    failed: dict[str, Annotated[str, Field(max_length=MAX_ERROR_CHARACTERS)]] = Field(
        default_factory=dict,
        description="Why files could not be stored, by path.",
        max_length=MAX_CHANGES,
        examples=[{"artifacts/custom/b.txt": "cannot read b.txt: Permission denied"}],
    )
    resolved: list[str] = Field(
        default_factory=list,
        description="Paths that failed before and are stored now.",
        max_length=MAX_CHANGES,
        examples=[["artifacts/custom/a.txt"]],
    )
    ended: list[str] = Field(
        default_factory=list,
        description="The `upload_id` of uploads that have ended. One is kept as unfinished while a "
        "file of its `paths` is neither stored nor failed.",
        max_length=MAX_CHANGES,
        examples=[["3c" * 8]],
    )


class RecordedFailure(BaseModel):
    """A file that could not be stored."""

    path: str
    error: str


class ResultsResponse(BaseModel):
    """The state of the record afterwards."""

    artifact_status: str = Field(examples=["pending"])
    failure_count: int = Field(examples=[0])
