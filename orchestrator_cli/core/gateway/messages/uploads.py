"""The messages about the files of an upload.

The server's OpenAPI document is made from these models and their field descriptions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from orchestrator_cli.core.executions.record.metadata import Status, UnfinishedUpload
from orchestrator_cli.core.gateway.limits import MAX_CHANGES, MAX_FILES, MAX_PART_OFFERS
from orchestrator_cli.core.gateway.messages.fields import (
    EXAMPLE_ID,
    EXAMPLE_SHA256,
    EXAMPLE_UPLOAD_ID,
    EXAMPLE_URL,
    SCHEDULE_MEANING,
    CompositeChecksum,
    ContentType,
    Md5,
    OfferedPath,
    Sha256,
    Size,
    StrictRequest,
    UploadId,
)
from orchestrator_cli.core.gateway.messages.record import RecordedFailure
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, DOUBLING, MAX_PART_BYTES, MAX_PARTS
from orchestrator_cli.core.s3.types import PutOutcome

_EXPIRES_AT = "When the URLs expire. Send the same request again to get new ones."


class FileOffer(StrictRequest):
    """A file that the client wants to upload."""

    path: OfferedPath
    size_bytes: Size | None = Field(description="Null for a stream, which is uploaded in parts.")
    sha256: Sha256 | None = Field(
        default=None,
        description=f"The SHA-256 of the file; required up to {BASE_PART_BYTES:,} bytes.",
    )
    md5: Md5 | None = None
    content_type: ContentType | None = None


class OfferFilesRequest(StrictRequest):
    """The files that a client wants to upload."""

    files: list[FileOffer] = Field(min_length=1, max_length=MAX_FILES)


class ResolveRequest(StrictRequest):
    """A file that was uploaded in one request, to a storage that returned a version id."""

    path: OfferedPath
    version_id: Annotated[str, Field(min_length=1, max_length=1024, examples=["3HL4kqtJlcpXro"])]
    receipt: Annotated[
        str,
        Field(
            description="The `receipt` that came with the `put` of the file.",
            pattern=r"^[0-9a-f]{64}$",
            examples=["2b" * 32],
        ),
    ]


class ResolveResponse(BaseModel):
    """Whether the uploaded version was the first one under its name."""

    withdrawn: bool = Field(
        description="True if another version is older and this one was deleted: offer the file "
        "again."
    )


class MultipartRequest(StrictRequest):
    """A large file or a stream that is to be uploaded in parts."""

    path: OfferedPath
    part_schedule: str = Field(
        default=DOUBLING,
        pattern=f"^({DOUBLING}|fixed-[1-9][0-9]{{0,12}})$",
        description=SCHEDULE_MEANING,
    )
    content_type: ContentType | None = None


class PartOffer(StrictRequest):
    """A part that the client wants to upload."""

    number: int = Field(ge=1, le=MAX_PARTS, examples=[1])
    size_bytes: int = Field(ge=1, le=MAX_PART_BYTES, examples=[BASE_PART_BYTES])
    sha256: Sha256
    md5: Md5 | None = None


class PartsRequest(StrictRequest):
    """The parts that a client wants to upload."""

    path: OfferedPath
    upload_id: UploadId
    parts: list[PartOffer] = Field(min_length=1, max_length=MAX_PART_OFFERS)


class CompleteRequest(StrictRequest):
    """A file whose parts are all uploaded."""

    path: OfferedPath
    upload_id: UploadId
    size_bytes: Size
    checksums: list[CompositeChecksum] = Field(
        description="The composite checksums of the parts: SHA-256, and MD5 too if `content_md5` "
        "is true.",
        min_length=1,
        max_length=2,
    )


class UploadTerms(BaseModel):
    """What a client needs to know before it uploads."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    status: Status
    failures: list[RecordedFailure]
    unfinished_uploads: list[UnfinishedUpload] | None = Field(
        default=None, description="Uploads that have begun and not ended."
    )
    content_md5: bool = Field(
        description="True if offers need an MD5 too, because the storage may not verify SHA-256."
    )
    base_part_bytes: int = Field(
        ge=1,
        description="The size up to which a file is uploaded in one request.",
        examples=[BASE_PART_BYTES],
    )
    max_files: int = Field(ge=1, description="The most files in one request.", examples=[MAX_FILES])
    max_parts: int = Field(
        ge=1, description="The most parts in one request.", examples=[MAX_PART_OFFERS]
    )
    max_changes: int = Field(
        ge=1,
        description="The most `failed`, `resolved` or `ended` entries in one request.",
        examples=[MAX_CHANGES],
    )


class StoredFileMessage(BaseModel):
    """A stored file, with everything that is needed to recompute its checksum."""

    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    sha256: str | None = Field(
        description="The SHA-256 in the user metadata of a file that was uploaded in one request."
    )
    part_schedule: str | None = Field(
        description="The part sizes of a file that was uploaded in several parts.",
        examples=[DOUBLING],
    )
    checksum: str | None = Field(
        description="The checksum that S3 keeps.", examples=[f"sha256:{EXAMPLE_SHA256}"]
    )


class SignedPut(BaseModel):
    """A presigned PUT that stores exactly what was offered, and only if the name is free."""

    url: str = Field(
        description="A URL that works without a token until it expires.", examples=[EXAMPLE_URL]
    )
    headers: dict[str, str] = Field(
        description="The headers to send, unchanged: they are signed.",
        examples=[{"if-none-match": "*", "content-length": "4"}],
    )
    receipt: str | None = Field(
        default=None,
        description="What `/uploads/resolve` takes; null if that is not needed.",
    )


class StoredPartMessage(BaseModel):
    """A part that S3 has."""

    number: int
    size_bytes: int
    etag: str
    sha256: str | None


class IncompleteUploadMessage(BaseModel):
    """An unfinished upload of the same file."""

    upload_id: str = Field(examples=[EXAMPLE_UPLOAD_ID])
    initiated_at: datetime
    accepts_sha256: bool = Field(description="False if the upload cannot be resumed.")
    parts: list[StoredPartMessage]


class FileError(BaseModel):
    """Why the storage could not be asked about one of the files."""

    kind: str = Field(
        description="The last part of the `type` of a problem.", examples=["storage-access"]
    )
    detail: str
    code: str | None = Field(default=None, description="The error code of S3, if it sent one.")
    request_id: str | None = None


class FileDecision(BaseModel):
    """What the client is to do with a file: nothing, compare it, or upload it."""

    path: str = Field(
        description="The path under which the file is stored.", examples=["artifacts/custom/a.txt"]
    )
    outcome: PutOutcome | None = Field(
        description="Null if the file is not stored, or if only the client can compare it."
    )
    stored: StoredFileMessage | None
    put: SignedPut | None = Field(description="The upload of a file in one request.")
    unfinished: list[IncompleteUploadMessage] | None = Field(
        description="The unfinished uploads of a file that is uploaded in parts."
    )
    error: FileError | None = Field(
        default=None, description="Why the storage could not be asked about this file."
    )


class OfferFilesResponse(BaseModel):
    """What to do with each file, in the order of the request."""

    execution_id: str = Field(examples=[EXAMPLE_ID])
    expires_at: datetime = Field(description=_EXPIRES_AT)
    files: list[FileDecision]


class MultipartResponse(BaseModel):
    """The multipart upload that was begun."""

    upload_id: str = Field(examples=[EXAMPLE_UPLOAD_ID])
    part_schedule: str = Field(description=SCHEDULE_MEANING, examples=[DOUBLING])


class PartsResponse(BaseModel):
    """A presigned PUT for each part, in the order of the request."""

    expires_at: datetime = Field(description=_EXPIRES_AT)
    parts: list[SignedPut]


class CompleteResponse(BaseModel):
    """The outcome of a completed upload."""

    outcome: PutOutcome
    checksum: str | None = Field(examples=[f"sha256:{EXAMPLE_SHA256}-3"])


class IndexResponse(BaseModel):
    """The index that was stored."""

    line_count: int = Field(description="The number of newlines in the log.", examples=[4_000_000])
