"""The program of orchestrator-python(7) runs, and is well typed for who installs the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli import __all__ as public_names
from orchestrator_cli import open_bucket
from orchestrator_cli.docgen.pages.python import python_example, render_python_page
from tests.support.stored.executions import read_record

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_the_program_of_the_page_runs(bucket: str, s3: S3Client, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "stdout.log").write_text("a log\n", encoding="utf-8")
    (tmp_path / "results" / "left.tmp").write_text("not stored\n", encoding="utf-8")
    (tmp_path / "stderr.txt").write_text("from a stream\n", encoding="utf-8")

    lines = run_python(python_example().replace("test-results", bucket), tmp_path)

    execution_id = lines[0]
    assert lines[1:3] == ["1 stored, 0 were there", "fail complete 2"]
    assert lines[3].startswith(f"{execution_id} ")
    assert lines[4:6] == ["logs/stderr.log 14", "logs/stdout.log 6"]
    assert "/logs/stderr.log?" in lines[6]
    assert lines[7].startswith("ConflictError ")
    assert read_record(s3, bucket, execution_id)["labels"] == {"branch": "main"}
    copy = tmp_path / "copy" / "logs" / "stderr.log"
    assert copy.read_text(encoding="utf-8") == "from a stream\n"
    first, nightly = (found.execution_id for found in open_bucket(bucket).executions())
    assert first == execution_id
    for path in ("metadata.json", "logs/stdout.log"):
        key = f"executions/{nightly}/{path}"
        head = s3.head_object(Bucket=bucket, Key=key)
        assert (head["StorageClass"], head["SSEKMSKeyId"], head["BucketKeyEnabled"]) == (
            "INTELLIGENT_TIERING",
            f"alias/{bucket}",
            True,
        )
        tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert tags == [{"Key": "team", "Value": "hil"}]


def run_python(program: str, directory: Path) -> list[str]:
    """Run a program as a user would, warnings being errors, and return its lines."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=directory,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.mark.slow
def test_the_program_of_the_page_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(python_example(), encoding="utf-8")
    wrong = python_example() + "\nexecution.finish(1)\nexecution.nonsense()\n"
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    checked = subprocess.run(
        # As strictly as this code is checked, and with what `make check` has found out already.
        [sys.executable, "-m", "mypy", "--no-pretty", tmp_path / "right.py", tmp_path / "wrong.py"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    first, second, summary = checked.stdout.splitlines()
    assert "wrong.py:" in first
    assert 'incompatible type "int"; expected "str"' in first
    assert "wrong.py:" in second
    assert 'has no attribute "nonsense"' in second
    assert summary.startswith("Found 2 errors in 1 file")


def test_the_page_has_every_public_name() -> None:
    page = render_python_page("1")
    assert [name for name in public_names if name not in page.replace("\\-", "-")] == []
