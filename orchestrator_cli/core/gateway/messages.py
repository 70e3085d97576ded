"""What a client and `orchestrator serve` say to each other about the files of an upload.

The server's OpenAPI document is made from these models; field descriptions are its text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from orchestrator_cli.core.executions.record.metadata import Status, UnfinishedUpload
from orchestrator_cli.core.gateway.limits import MAX_CHANGES, MAX_FILES, MAX_PART_OFFERS
from orchestrator_cli.core.gateway.message_fields import (
    EXAMPLE_ID,
    EXAMPLE_SHA256,
    EXAMPLE_UPLOAD_ID,
    EXAMPLE_URL,
    SCHEDULE_MEANING,
    Checksum,
    ContentType,
    Md5,
    Path,
    Sha256,
    Size,
    StrictRequest,
    UploadId,
)
from orchestrator_cli.core.gateway.record_messages import RecordedFailure
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, DOUBLING, MAX_PART_BYTES, MAX_PARTS
from orchestrator_cli.core.s3.types import PutOutcome


class FileOffer(StrictRequest):
    """A file that the client has."""

    path: Path
    size_bytes: Size | None = Field(description="Null for a stream, which goes by parts.")
    sha256: Sha256 | None = Field(
        default=None,
        description=f"Of the content; needed for a file of up to {BASE_PART_BYTES:,} bytes.",
    )
    md5: Md5 | None = None
    content_type: ContentType | None = None


class OfferFilesRequest(StrictRequest):
    """Files to be stored."""

    files: list[FileOffer] = Field(min_length=1, max_length=MAX_FILES)


class ResolveRequest(StrictRequest):
    """A file that was sent whole."""

    path: Path
    version_id: Annotated[str, Field(min_length=1, max_length=1024, examples=["3HL4kqtJlcpXro"])]
    receipt: Annotated[
        str,
        Field(
            description="As it came with the PUT that wrote this version.",
            pattern=r"^[0-9a-f]{64}$",
            examples=["2b" * 32],
        ),
    ]


class ResolveResponse(BaseModel):
    """Whether it was the first under its name."""

    withdrawn: bool = Field(description="True: somebody else was first. Offer it again.")


class MultipartRequest(StrictRequest):
    """A large file, or a stream."""

    path: Path
    part_schedule: str = Field(
        default=DOUBLING,
        pattern=f"^({DOUBLING}|fixed-[1-9][0-9]{{0,12}})$",
        description=SCHEDULE_MEANING,
    )
    content_type: ContentType | None = None


class PartOffer(StrictRequest):
    """A part that the client has."""

    number: int = Field(ge=1, le=MAX_PARTS, examples=[1])
    size_bytes: int = Field(ge=1, le=MAX_PART_BYTES, examples=[BASE_PART_BYTES])
    sha256: Sha256
    md5: Md5 | None = None


class PartsRequest(StrictRequest):
    """Parts to be sent."""

    path: Path
    upload_id: UploadId
    parts: list[PartOffer] = Field(min_length=1, max_length=MAX_PART_OFFERS)


class CompleteRequest(StrictRequest):
    """A large file whose parts are all sent."""

    path: Path
    upload_id: UploadId
    size_bytes: Size
    checksums: list[Checksum] = Field(
        description="Composite checksums over the parts: SHA-256, and MD5 where `content_md5` "
        "says so.",
        min_length=1,
        max_length=2,
    )


class UploadTerms(BaseModel):
    """What a client has to know before it uploads."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    status: Status
    failures: list[RecordedFailure]
    unfinished_uploads: list[UnfinishedUpload] | None = Field(
        default=None, description="Uploads that have begun and not ended."
    )
    content_md5: bool = Field(
        description="Whether bodies need an MD5 too: the storage may not check SHA-256."
    )
    base_part_bytes: int = Field(
        ge=1, description="A file of up to so many bytes is sent whole.", examples=[BASE_PART_BYTES]
    )
    max_files: int = Field(ge=1, description="In one request.", examples=[MAX_FILES])
    max_parts: int = Field(ge=1, description="In one request.", examples=[MAX_PART_OFFERS])
    max_changes: int = Field(ge=1, description="In one record.", examples=[MAX_CHANGES])


class StoredFile(BaseModel):
    """A stored file, with all that says how to recompute its checksum."""

    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    sha256: str | None = Field(description="As recorded with a file that was sent whole.")
    part_schedule: str | None = Field(
        description="How a file of several parts was cut.", examples=[DOUBLING]
    )
    checksum: str | None = Field(description="S3's own.", examples=[f"sha256:{EXAMPLE_SHA256}"])


class SignedPut(BaseModel):
    """A request that stores exactly what was offered, and only where nothing is stored yet."""

    url: str = Field(
        description="It works without a token until it expires.", examples=[EXAMPLE_URL]
    )
    headers: dict[str, str] = Field(
        description="To be sent exactly so; they are signed.",
        examples=[{"if-none-match": "*", "content-length": "4"}],
    )
    receipt: str | None = Field(
        default=None,
        description="To be shown by `/uploads/resolve`; null where that is not needed.",
    )


class StoredPart(BaseModel):
    """A part that S3 has."""

    number: int
    size_bytes: int
    etag: str
    sha256: str | None


class IncompleteUpload(BaseModel):
    """An unfinished upload of the same file."""

    upload_id: str = Field(examples=[EXAMPLE_UPLOAD_ID])
    initiated_at: datetime
    accepts_sha256: bool = Field(description="False where it cannot be gone on with.")
    parts: list[StoredPart]


class FileError(BaseModel):
    """Why nothing can be said of a file, while the others are not concerned."""

    kind: str = Field(description="As in the `type` of a problem.", examples=["storage-access"])
    detail: str
    code: str | None = Field(default=None, description="S3's error code, where it answered.")
    request_id: str | None = None


class FileDecision(BaseModel):
    """What is to be done about a file: nothing, compare it, send it whole, or by parts."""

    path: str = Field(description="Where it goes.", examples=["artifacts/custom/a.txt"])
    outcome: PutOutcome | None = Field(
        description="Null where it is not stored yet, and where only who has it can compare."
    )
    stored: StoredFile | None
    put: SignedPut | None = Field(description="For a file that is sent whole, and not stored yet.")
    unfinished: list[IncompleteUpload] | None = Field(
        description="For a file that is sent by parts, and not stored yet."
    )
    error: FileError | None = Field(
        default=None, description="The storage could not be asked about this file."
    )


class OfferFilesResponse(BaseModel):
    """What is to be done, in the order of the files."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    expires_at: datetime = Field(description="When the URLs end. Ask again then.")
    files: list[FileDecision]


class MultipartResponse(BaseModel):
    """A multipart upload."""

    upload_id: str = Field(examples=[EXAMPLE_UPLOAD_ID])
    part_schedule: str = Field(description=SCHEDULE_MEANING, examples=[DOUBLING])


class PartsResponse(BaseModel):
    """A request for each part, in their order."""

    expires_at: datetime = Field(description="When the URLs end. Ask again then.")
    parts: list[SignedPut]


class CompleteResponse(BaseModel):
    """The file is stored."""

    outcome: PutOutcome
    checksum: str | None = Field(examples=[f"sha256:{EXAMPLE_SHA256}-3"])


class IndexResponse(BaseModel):
    """The index is kept."""

    line_count: int = Field(description="Newlines in the log.", examples=[4_000_000])
