"""A run in one process and `logs -f` in another, which sees nothing but the bucket."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

from tests.support.objects import bucket_contents
from tests.support.proxy import run_proxy
from tests.support.running import Processes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WAIT = 60
SLOW = """
import sys, time
for number in range(12):
    line = f"\\x1b[3{number % 8}m{number} größe\\x1b[0m\\n"
    sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()
    time.sleep(0.2)
sys.stdout.buffer.write(b"no newline at the end")
sys.exit(3)
"""


def test_what_was_followed_is_what_is_stored(
    cli_process: Processes, s3: S3Client, bucket: str, s3env: dict[str, str]
) -> None:
    execution_id = cli_process.run("new").ok().out.strip()
    run = cli_process.start("run", "--id", execution_id, "--", sys.executable, "-c", SLOW)
    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as reader:
        follower = cli_process.run(
            "logs", "-f", execution_id, "stdout", env={"AWS_ENDPOINT_URL": reader.endpoint_url}
        ).ok()
        calls = reader.calls()
        segments = [one for one in calls if one.key.startswith(f"live/{execution_id}/logs/")]
        joined_at = calls.index(segments[0])
        assert "ListObjectsV2" not in {one.operation for one in calls[joined_at:]}
        assert set(reader.operations()) == {"ListObjectsV2", "GetObject", "HeadObject"}
        # It came in pieces, while the command ran.
        assert sum(one.status == 200 for one in segments) > 2
    run.communicate(timeout=WAIT)
    assert run.returncode == 3
    stored = bucket_contents(s3, bucket)[f"executions/{execution_id}/logs/stdout.log"]
    assert hashlib.sha256(follower.stdout).digest() == hashlib.sha256(stored).digest()
    assert stored.endswith("\x1b[33m11 größe\x1b[0m\nno newline at the end".encode())
    assert follower.stderr == b""
