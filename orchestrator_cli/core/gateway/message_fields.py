"""The fields that several messages between a client and `orchestrator serve` have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_cli.core.executions.keys import MAX_KEY_BYTES
from orchestrator_cli.core.s3.part_plan import MAX_OBJECT_BYTES, MAX_STREAM_BYTES

# Of ASCII only: it becomes a header.
CONTENT_TYPE = r"^[A-Za-z0-9_!#$&^.+-]{1,100}/[A-Za-z0-9_!#$&^.+-]{1,100}(;[\x20-\x7e]{0,100})?$"
EXAMPLE_ID = "01JAB3C4D5E6F7G8H9JKMNPQRS"

EXAMPLE_URL = (
    f"https://bucket.s3.eu-central-1.amazonaws.com/executions/{EXAMPLE_ID}/artifacts/custom/a.txt?…"
)
EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SCHEDULE_MEANING = (
    "`doubling-FIRST-COUNT`: parts of FIRST bytes, twice as large after each COUNT of them. "
    f"`fixed-SIZE`: parts of SIZE bytes, for files of more than {MAX_STREAM_BYTES:,} bytes. The "
    "last part is what is left."
)
EXAMPLE_UPLOAD_ID = "2~VmVyeSBsb25nIHVwbG9hZCBpZA"

Path = Annotated[
    str,
    Field(
        description="Relative, as `upload` takes it: where it goes follows from it. Or as answered "
        "here, which stays what it is.",
        min_length=1,
        max_length=MAX_KEY_BYTES,
        examples=["artifacts/custom/a.txt"],
    ),
]
Size = Annotated[int, Field(ge=0, le=MAX_OBJECT_BYTES, examples=[4])]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=[EXAMPLE_SHA256])]
Md5 = Annotated[
    str,
    Field(
        description="Where `content_md5` says so.",
        pattern=r"^[0-9a-f]{32}$",
        examples=["098f6bcd4621d373cade4e832627b4f6"],
    ),
]
ContentType = Annotated[
    str,
    Field(
        description="Left out, it follows from the name.",
        max_length=300,
        pattern=CONTENT_TYPE,
        examples=["text/plain; charset=utf-8"],
    ),
]
UploadId = Annotated[str, Field(min_length=1, max_length=1024, examples=[EXAMPLE_UPLOAD_ID])]
Checksum = Annotated[
    str,
    Field(
        pattern="^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})-[1-9][0-9]{0,4}$",
        examples=[f"sha256:{EXAMPLE_SHA256}-3"],
        description="With `-PARTS`.",
    ),
]


class StrictRequest(BaseModel):
    """A request whose fields are all known and have exactly their types."""

    model_config = ConfigDict(extra="forbid", strict=True)
