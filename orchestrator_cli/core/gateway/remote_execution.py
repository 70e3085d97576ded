"""What a server is asked about one execution's uploads, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client import GatewayClient, SignedPut
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.multipart import IncompleteUpload, StoredPart
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome

# An unfinished upload, and the parts that S3 has of it by number.
FoundParts = tuple[IncompleteUpload, dict[int, StoredPart]]
_MAX_ERROR_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server says of an execution before anything is sent."""

    failing: frozenset[str]
    content_md5: bool
    max_files: int
    max_changes: int


class RemoteExecution:
    """One execution as its server lets it be uploaded to. Safe to share between threads."""

    def __init__(self, client: GatewayClient, execution_id: str) -> None:
        self.client = client
        self.execution_id = execution_id
        self._base = f"/executions/{execution_id}/uploads"

    @cached_property
    def terms(self) -> Terms:
        """What to know before; asked for once. Raises NotFoundError for no such execution."""
        told = self.client.get(self._base, f"look-up of execution {self.execution_id}")
        with _Understood():
            return Terms(
                frozenset(str(one["path"]) for one in told["failures"]),
                bool(told["content_md5"]),
                int(told["max_files"]),
                int(told["max_changes"]),
            )

    def look(self, offers: list[dict[str, Any]], what: str) -> list[FileAnswer]:
        """Offer files, at most `terms.max_files`; return an answer for each."""
        told = self.client.post(self._base, {"files": offers}, what)
        with _Understood():
            answers = [FileAnswer.parse(one) for one in told["files"]]
            if len(answers) != len(offers):
                raise ValueError
            return answers

    def settle(self, path: str, version_id: str) -> bool:
        """Say whether a version that was just written had to be taken back."""
        record = {"path": path, "version_id": version_id}
        what = f"look at the versions of {printable(path)}"
        told = self.client.post(f"{self._base}/settle", record, what)
        with _Understood():
            return bool(told["withdrawn"])

    def begin(self, path: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its id."""
        record = {"path": path, "content_type": content_type, "part_schedule": schedule}
        what = f"start of the upload of {printable(path)}"
        told = self.client.post(f"{self._base}/begin", record, what)
        with _Understood():
            return str(told["upload_id"])

    def sign_part(self, path: str, upload_id: str, offer: dict[str, Any], what: str) -> SignedPut:
        """Return a request for one part. Asks once."""
        record = {"path": path, "upload_id": upload_id, "parts": [offer]}
        told = self.client.post_once(f"{self._base}/parts", record, what)
        with _Understood():
            return SignedPut.parse(told["parts"][0])

    def complete(
        self, path: str, upload_id: str, size_bytes: int, checksums: Iterable[Checksum]
    ) -> None:
        """Make the object from its parts. Raises ConflictError, NotFoundError."""
        record = {
            "path": path,
            "upload_id": upload_id,
            "size_bytes": size_bytes,
            "checksums": [str(one) for one in checksums],
        }
        what = f"completion of {printable(path)}"
        self.client.post(f"{self._base}/complete", record, what)

    def record(self, failed: Mapping[str, str], mended: Iterable[str]) -> None:
        """Note failures and what is mended, in as many requests as it takes."""
        most = self.terms.max_changes
        failures, paths = list(failed.items()), sorted(mended)
        for start in range(0, max(len(failures), len(paths), 1), most):
            some = failures[start : start + most]
            record = {
                "failed": {path: error[:_MAX_ERROR_CHARACTERS] for path, error in some},
                "mended": paths[start : start + most],
            }
            self.client.post(f"{self._base}/record", record, "record of the upload")


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What the server says of a file."""

    outcome: PutOutcome | None
    stored: ObjectMetadata | None
    put: SignedPut | None
    unfinished: tuple[FoundParts, ...]

    @classmethod
    def parse(cls, record: Any) -> FileAnswer:
        """Read what the server answers."""
        path = str(record["path"])
        return cls(
            PutOutcome(record["outcome"]) if record["outcome"] else None,
            _parse_stored(path, record["stored"]) if record["stored"] else None,
            SignedPut.parse(record["put"]) if record["put"] else None,
            tuple(_parse_unfinished(path, one) for one in record["unfinished"] or ()),
        )


def _parse_stored(path: str, record: Any) -> ObjectMetadata:
    metadata = {SHA256_METADATA: record["sha256"], SCHEDULE_METADATA: record["part_schedule"]}
    checksum = record["checksum"]
    return ObjectMetadata(
        key=path,
        size_bytes=int(record["size_bytes"]),
        etag=str(record["etag"]),
        content_type=str(record["content_type"]),
        last_modified=datetime.fromisoformat(record["last_modified"]),
        metadata={name: str(text) for name, text in metadata.items() if text is not None},
        checksum=Checksum.parse(checksum) if checksum else None,
    )


def _parse_unfinished(path: str, record: Any) -> FoundParts:
    begun = datetime.fromisoformat(record["initiated_at"])
    upload = IncompleteUpload(path, str(record["upload_id"]), begun, bool(record["takes_sha256"]))
    parts = [
        StoredPart(int(one["number"]), int(one["size_bytes"]), str(one["etag"]), one["sha256"])
        for one in record["parts"]
    ]
    return upload, {part.number: part for part in parts}


class _Understood:
    """Makes an error of what a server answers that is no `orchestrator serve` of this kind."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, LookupError | TypeError | ValueError):
            raise incompatible_server()


def incompatible_server() -> OrchestratorError:
    """Return the error for an answer that cannot be read."""
    return UsageError(
        "what answered is no `orchestrator serve` that this release understands",
        hint="check --via, and whether the server is as new as this command",
    )
