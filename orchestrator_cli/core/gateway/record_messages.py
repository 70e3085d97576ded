"""What a client and `orchestrator serve` say to each other about the record of an upload.

The server's OpenAPI document is made from these models; field descriptions are its text.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from orchestrator_cli.core.executions.record.upload_mark import MAX_PATHS
from orchestrator_cli.core.gateway.limits import MAX_CHANGES, MAX_ERROR_CHARACTERS
from orchestrator_cli.core.gateway.message_fields import Path, StrictRequest


class BegunUpload(StrictRequest):
    """An upload that is about to store its first file."""

    upload_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$", examples=["3c" * 8])] = Field(
        description="A random number that the client has chosen."
    )
    began_at: AwareDatetime = Field(strict=False, examples=["2026-01-30T08:00:00.000Z"])
    paths: list[Path] = Field(
        description="Where its first files go, or all of them.", max_length=MAX_PATHS
    )
    more: bool = Field(default=False, description="Whether there are others than `paths`.")
    selection: str = Field(
        default="",
        description="Which files of a tree it takes, in words of the client; empty for all.",
        max_length=1000,
    )


class BegunResponse(BaseModel):
    """It is on record."""

    upload_id: str = Field(examples=["3c" * 8])


class ResultsRequest(StrictRequest):
    """How an upload ended."""

    failed: dict[str, Annotated[str, Field(max_length=MAX_ERROR_CHARACTERS)]] = Field(
        default_factory=dict,
        description="Files that could not be stored, by path, and why.",
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
        description="Uploads that are unfinished no longer, by `upload_id`; one whose `paths` are "
        "neither stored nor `failed` stays.",
        max_length=MAX_CHANGES,
        examples=[["3c" * 8]],
    )


class RecordedFailure(BaseModel):
    """A file that could not be stored before."""

    path: str
    error: str


class ResultsResponse(BaseModel):
    """What is recorded now."""

    artifact_status: str = Field(examples=["pending"])
    failure_count: int = Field(examples=[0])
