"""A store that answers `orchestrator serve` at once: nginx over TLS, and files written before.

It has finished executions of some files each: a listing, a manifest, and the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator_cli.core.executions.record.manifest import Manifest, manifest_sha256
from orchestrator_cli.core.executions.record.metadata import (
    Artifact,
    ArtifactStatus,
    ExecutionMetadata,
    Result,
    Status,
)
from orchestrator_cli.core.executions.record.repository import serialise
from tests.bench.measuring.peers import BUCKET
from tests.bench.servers.certificates import make_certificates
from tests.bench.servers.nginx import Nginx, free_port

_DAY = datetime(2026, 1, 30, tzinfo=UTC)
_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

_HTTP = """\
  keepalive_requests 10000000;
  keepalive_timeout 1h;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=10000;
  map "$arg_prefix" $listed {{
    default "";
    "~^executions%2F(?<id>[0-9A-Z]+)%2F" $id;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    # S3 says it with every answer.
    add_header x-amz-request-id BENCH00000000001 always;
    ssl_certificate {home}/leaf.pem;
    ssl_certificate_key {home}/leaf.key;
    root {home}/www;
    default_type application/octet-stream;
    location /lists/ {{ internal; default_type application/xml; }}
    location / {{
      if ($listed) {{ rewrite ^ /lists/$listed.xml? last; }}
    }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Store:
    """A running store; `pid` is that of nginx and the group of its workers."""

    endpoint_url: str
    ca_file: Path
    pid: int
    execution_ids: list[str]


@contextmanager
def run_store(nginx: str, home: Path, executions: int, files: int) -> Iterator[Store]:
    """Serve so many executions of so many files from below `home` until the block ends."""
    make_certificates(home)
    execution_ids = [_write_execution(home, number, files) for number in range(executions)]
    port = free_port()
    with Nginx(nginx, home, "store").run(_HTTP.format(home=home, port=port), port) as pid:
        yield Store(f"https://localhost:{port}", home / "ca.pem", pid, execution_ids)


def _write_execution(home: Path, number: int, files: int) -> str:
    execution_id = f"01JABCDEF0{number:016}"
    manifest = [_describe(number, path) for path in _paths(files)]
    record = ExecutionMetadata(
        execution_id=execution_id,
        test_suite="smoke",
        status=Status.COMPLETED,
        result=Result.FAIL,
        artifact_status=ArtifactStatus.COMPLETE,
        started_at=_DAY,
        ended_at=_DAY,
        labels={"branch": "main", "commit": "0" * 40},
    )
    root = home / "www" / BUCKET / "executions" / execution_id
    (root / "logs").mkdir(parents=True)
    metadata = root / "metadata.json"
    size_bytes = sum(artifact.size_bytes for artifact in manifest)
    lines = Manifest(manifest, len(manifest), size_bytes, manifest_sha256(manifest))
    metadata.write_bytes(serialise(record.model_copy(update=lines._asdict())))
    (root / "logs/stdout.log").write_bytes(b"one line\n" * 400)
    listing = home / "www/lists" / f"{execution_id}.xml"
    listing.parent.mkdir(exist_ok=True)
    listing.write_text(_listing(execution_id, manifest, metadata))
    return execution_id


def _paths(files: int) -> list[str]:
    """Return the paths of an execution in the order of a listing."""
    several = [f"artifacts/screenshots/step-{number:03}/failed.png" for number in range(files - 2)]
    return sorted([*several, "artifacts/results.json", "logs/stdout.log"][:files])


def _describe(number: int, path: str) -> Artifact:
    digest = hashlib.sha256(f"{number} {path}".encode()).hexdigest()
    kind = "image/png" if path.endswith(".png") else "text/plain; charset=utf-8"
    size_bytes = 10_000 + int(digest[:4], 16)
    return Artifact(
        path=path, size_bytes=size_bytes, checksum=f"sha256:{digest}", content_type=kind
    )


def _listing(execution_id: str, manifest: list[Artifact], metadata: Path) -> str:
    """Return what S3 answers, with all that AWS says of an object."""
    prefix = f"executions/{execution_id}/"
    stat = metadata.stat()
    # That of metadata.json is the one that nginx answers with it.
    objects = [(one.path, one.size_bytes, _md5(one.path)) for one in manifest]
    objects += [(metadata.name, stat.st_size, f"{int(stat.st_mtime):x}-{stat.st_size:x}")]
    entries = "".join(
        f"<Contents><Key>{prefix}{path}</Key><LastModified>2026-01-30T08:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag>"
        "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for path, size, etag in objects
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult {_NS}><Name>{BUCKET}</Name>'
        f"<Prefix>{prefix}</Prefix><KeyCount>{len(objects)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{entries}"
        "</ListBucketResult>"
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
