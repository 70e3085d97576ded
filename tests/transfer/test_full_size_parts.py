"""Parts as large as the product makes them; other tests of parts make smaller ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.core.transfer.upload.parts import multipart_upload
from tests.support import faults
from tests.support.engine import MIB, PART, content, key_of, new_execution
from tests.support.objects import bucket_contents
from tests.support.proxy import Proxy
from tests.support.running import RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DATA = content(2 * PART + 7)


@pytest.mark.parametrize("name", ["stdout.log", "-"], ids=["file", "pipe"])
def test_parts_that_break_in_the_middle_are_sent_again(
    name: str, cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    execution = new_execution(cli)
    key = key_of("stdout.log", execution)
    file = tmp_path / "stdout.log"
    file.write_bytes(DATA)
    source = ("-", "--name", "stdout.log") if name == "-" else (file,)
    rule = recorder.inject(faults.ResetInside(3 * MIB), "UploadPart", times=2)
    (line,) = cli("upload", execution, *source, "--json", stdin=DATA).ok().json_lines()
    assert rule.struck == 2
    assert (line["outcome"], line["sent_bytes"]) == ("created", len(DATA))
    sizes = [one.request_bytes for one in recorder.calls("UploadPart") if one.status == 200]
    assert sorted(sizes) == [7, PART, PART]
    assert bucket_contents(s3, bucket, key) == {key: DATA}


def test_a_file_that_is_cut_while_a_part_is_sent_does_not_leave_the_server_waiting(
    cli: RunCommand,
    recorder: Proxy,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part that is read while it is sent: its promised length cannot be kept any more."""
    monkeypatch.setattr(multipart_upload, "BASE_PART_BYTES", MIB)  # all parts are read so now
    file = tmp_path / "big.bin"
    file.write_bytes(DATA)

    class Cut(faults.Fault):
        def request_chunk(self, chunk: bytes, offset: int, waiting: object) -> bytes:
            os.truncate(file, 100)
            return chunk

    recorder.inject(Cut(), "UploadPart")
    result = cli("upload", new_execution(cli), file).expect(7)
    assert f"{file} changed while it was read; it was not stored" in result.err
