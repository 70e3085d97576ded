"""Executions put into a bucket directly, without the code under test: fast, and any way wanted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.stored.plain import plain_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HEADERS = {"ContentType": "Content-Type", "StorageClass": "x-amz-storage-class"}


def make_id(instant: datetime | None = None, number: int = 0) -> str:
    """Return a ULID of an instant (now by default); `number` is its random part."""
    milliseconds = int((instant or datetime.now(UTC)).timestamp() * 1000)
    value = (milliseconds << 80) | number
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def make_record(execution_id: str, **fields: Any) -> dict[str, Any]:
    """Return the metadata of a running execution, with these fields in place of the usual ones."""
    return {
        "schema_version": 1,
        "execution_id": execution_id,
        "reservation_id": None,
        "runner_type": None,
        "bench_id": None,
        "test_suite": None,
        "result": None,
        "status": "running",
        "artifact_status": "pending",
        "started_at": "2026-01-31T08:00:00.000Z",
        "ended_at": None,
        "artifact_count": 0,
        "artifact_bytes": 0,
        "manifest_sha256": None,
        "artifacts": None,
        "failures": [],
        "unfinished_uploads": [],
        "tree_stored": False,
        "labels": {},
        "run": None,
        **fields,
    }


def put_execution(
    s3: S3Client,
    bucket: str,
    execution_id: str = "",
    files: Mapping[str, bytes] | None = None,
    **fields: Any,
) -> str:
    """Store an execution with its files and return its id."""
    execution_id = execution_id or make_id()
    content = json.dumps(make_record(execution_id, **fields)).encode()
    put_metadata(s3, bucket, execution_id, content)
    for path, data in (files or {}).items():
        put_file(s3, bucket, execution_id, path, data)
    return execution_id


def put_finished_execution(s3: S3Client, bucket: str, files: Mapping[str, bytes]) -> str:
    """Store a finished execution with its files and their manifest, and return its id."""
    artifacts = [
        {
            "path": path,
            "size_bytes": len(data),
            "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "content_type": "text/plain",
        }
        for path, data in sorted(files.items(), key=lambda item: item[0].encode())
    ]
    return put_execution(
        s3,
        bucket,
        files=files,
        status="completed",
        result="pass",
        artifact_status="complete",
        ended_at="2026-01-31T09:00:00.000Z",
        artifact_count=len(files),
        artifact_bytes=sum(map(len, files.values())),
        manifest_sha256=manifest_digest(files),
        artifacts=artifacts,
    )


def put_metadata(s3: S3Client, bucket: str, execution_id: str, content: bytes) -> None:
    """Store these bytes as an execution's metadata.json."""
    put_keys(s3, bucket, [f"executions/{execution_id}/metadata.json"], content)


def put_file(
    s3: S3Client, bucket: str, execution_id: str, path: str, data: bytes, **options: str
) -> str:
    """Store a file as the project does and return its key; options are some of PutObject's."""
    key = f"executions/{execution_id}/{path}"
    headers = {_HEADERS[name]: value for name, value in options.items()}
    headers["x-amz-meta-sha256"] = hashlib.sha256(data).hexdigest()
    with plain_s3(s3) as plain:
        plain.ask("PUT", bucket, key, body=data, headers=headers)
    return key


def put_keys(s3: S3Client, bucket: str, keys: Iterable[str], body: bytes = b"{}") -> None:
    """Store the same small object under many keys."""
    with plain_s3(s3) as plain:
        for key in keys:
            plain.ask("PUT", bucket, key, body=body)


def read_record(s3: S3Client, bucket: str, execution_id: str) -> dict[str, Any]:
    """Return what metadata.json holds."""
    key = f"executions/{execution_id}/metadata.json"
    with plain_s3(s3) as plain:
        record: dict[str, Any] = json.loads(plain.ask("GET", bucket, key))
        return record


def manifest_digest(files: Mapping[str, bytes]) -> str:
    """Compute the manifest's digest from the files, by the letter of its definition."""
    lines = [
        f"{path} {len(data)} sha256:{hashlib.sha256(data).hexdigest()}\n".encode()
        for path, data in sorted(files.items(), key=lambda item: item[0].encode())
    ]
    return hashlib.sha256(b"".join(lines)).hexdigest()
