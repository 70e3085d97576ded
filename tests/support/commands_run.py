"""What the tests of `run` ask again and again."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.executions import read_record
from tests.support.objects import bucket_contents
from tests.support.running import Result

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def run_id(result: Result | bytes) -> str:
    """Return the id that `run` said it made."""
    text = result.stderr if isinstance(result, Result) else result
    found = re.search(rb"execution ([0-9A-Z]{26})", text)
    assert found is not None, text
    return found[1].decode()


def stored(s3: S3Client, bucket: str, execution_id: str) -> dict[str, bytes]:
    """Return the stored files of an execution by path, without the metadata."""
    prefix = f"executions/{execution_id}/"
    return {
        key.removeprefix(prefix): content
        for key, content in bucket_contents(s3, bucket).items()
        if key.startswith(prefix) and not key.endswith("/metadata.json")
    }


def record(s3: S3Client, bucket: str, execution_id: str) -> dict[str, Any]:
    return dict(read_record(s3, bucket, execution_id))


def results(files: dict[str, bytes]) -> Any:
    return json.loads(files["artifacts/results.json"])


def printed_command(stderr: bytes) -> list[str]:
    """Return the arguments of the command that is printed for what is left."""
    line = next(line for line in stderr.decode().splitlines() if " run --resume " in line)
    return shlex.split(line)[1:]


def spools() -> list[Path]:
    """Return the spool directories below the default place."""
    root = Path.home() / ".local/state/orchestrator/runs"
    return sorted(root.iterdir()) if root.exists() else []
