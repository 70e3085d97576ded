"""Plain values that pass between the modules of the library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from orchestrator_cli.core.base.errors import OrchestratorError

SHA256_HEX = r"[0-9a-f]{64}"
_CHECKSUM = re.compile(
    rf"(sha256|md5):((?<=sha256:){SHA256_HEX}|(?<=md5:)[0-9a-f]{{32}})(?:-([1-9][0-9]{{0,4}}))?"
)


class PutOutcome(StrEnum):
    """The outcome of a create-only write."""

    CREATED = "created"
    IDENTICAL = "identical"
    CONFLICT = "conflict"


class Checksum(NamedTuple):
    """A content hash as stored: of the whole object, or composite over its parts.

    Written `sha256:<hex>` for an object of one PutObject and `sha256:<hex>-<part count>` for a
    multipart object, where the hash is over the concatenated binary part hashes, as S3 computes
    it. `md5` serves where the server keeps no SHA-256.
    """

    algorithm: str
    hex_digest: str
    part_count: int | None = None

    def __str__(self) -> str:
        suffix = f"-{self.part_count}" if self.part_count else ""
        return f"{self.algorithm}:{self.hex_digest}{suffix}"

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Parse what `str()` wrote. Raises ValueError."""
        match = _CHECKSUM.fullmatch(text)
        if match is None:
            raise ValueError(f"not a checksum: {text!r}")
        return cls(match[1], match[2], int(match[3]) if match[3] else None)


class RestoreState(NamedTuple):
    """A restore from an archive class: under way, or with a readable copy until `expires_at`."""

    ongoing: bool
    expires_at: datetime | None = None


class ObjectSummary(NamedTuple):
    """One object of a listing. `etag` has no quotes.

    `restore` is None where nothing was restored, and where the server does not list it.
    """

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime
    storage_class: str = "STANDARD"
    restore: RestoreState | None = None


class ObjectMetadata(NamedTuple):
    """What HeadObject says. `checksum` is S3's own SHA-256 where the server keeps one."""

    key: str
    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    metadata: Mapping[str, str] = MappingProxyType({})
    checksum: Checksum | None = None
    storage_class: str = "STANDARD"
    restore: str | None = None


class UploadResult(NamedTuple):
    """The result of uploading one file.

    `outcome` is None when the file failed for another reason than a conflict; `error` says why.
    `skip_reason` says why a rule of the selection left it out.
    `resumed_bytes` were found in an unfinished multipart upload; `sent_bytes` is the size of the
    bodies that S3 acknowledged.
    """

    source: str
    path: str | None
    key: str | None
    size_bytes: int
    outcome: PutOutcome | None
    resumed_bytes: int = 0
    sent_bytes: int = 0
    checksum: Checksum | None = None
    error: OrchestratorError | None = None
    skip_reason: str | None = None

    @property
    def stored(self) -> bool:
        """True when S3 holds exactly these bytes."""
        return self.outcome in (PutOutcome.CREATED, PutOutcome.IDENTICAL)
