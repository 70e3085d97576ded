"""The second server: the embedded S3, so that nobody can say it is only a sink.

It is no fast one, so it bounds most figures, and keeps everything in memory: sizes are smaller.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING

import boto3

from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.sandbox.sandbox import start_sandbox
from tests.bench.fixtures import (
    AGAIN_ID,
    DOWN_ID,
    IDS,
    LARGE_ID,
    LOG_ID,
    NEW_ID,
    SYNC_ID,
    Fixtures,
    make_record,
    small_paths,
)
from tests.bench.measuring.peers import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def run_real_server(files: Fixtures) -> Iterator[tuple[dict[str, str], Callable[[], None]]]:
    """Yield the variables that point at the server, and what removes all uploads from it."""
    with start_sandbox(BUCKET) as sandbox:
        client = boto3.client(
            "s3",
            endpoint_url=sandbox.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )

        _fill(client, files)
        # In parts, with their schedule.
        subprocess.run(
            [sys.executable, "-m", "orchestrator_cli", "-q", "upload", LARGE_ID, str(files.large)],
            env={**os.environ, **sandbox.environment()},
            check=True,
        )

        def forget() -> None:
            _remove(client, "new/")
            for execution_id, room in product((NEW_ID, SYNC_ID), ("artifacts", "logs")):
                _remove(client, f"executions/{execution_id}/{room}/")

        yield sandbox.environment(), forget


def _fill(client: S3Client, files: Fixtures) -> None:
    def put(key: str, body: bytes) -> None:
        # As this tool stores it; moto answers with no checksum of its own.
        digest = hashlib.sha256(body).hexdigest()
        client.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={SHA256_METADATA: digest})

    for execution_id in IDS.values():
        put(f"executions/{execution_id}/metadata.json", make_record(execution_id))
    roots = [
        "again",
        "down",
        *(f"executions/{one}/artifacts/custom" for one in (AGAIN_ID, DOWN_ID)),
    ]
    for path, root in product(small_paths(files.sizes.small_files), roots):
        put(f"{root}/{path}", files.small)
    put(f"executions/{LOG_ID}/logs/stdout.log", files.small)
    put(f"executions/{LOG_ID}/logs/runner.log", bytes(files.sizes.log_bytes))
    put(f"executions/{LOG_ID}/logs/bench.log", b"FATAL\n" * (files.sizes.text_bytes // 6))


def _remove(client: S3Client, prefix: str) -> None:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
