"""Parts as large as the product makes them; other tests of parts make smaller ones."""

from __future__ import annotations

import os

import pytest

from orchestrator_cli.core.transfer.upload.parts import multipart_upload
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import MIB, PART, content, key_of

DATA = content(2 * PART + 7)


@pytest.mark.parametrize("name", ["stdout.log", "-"], ids=["file", "pipe"])
def test_parts_that_break_in_the_middle_are_sent_again(scene: Scene, name: str) -> None:
    execution = scene.new_execution()
    key = key_of("stdout.log", execution)
    file = scene.directory / "stdout.log"
    file.write_bytes(DATA)
    source = ("-", "--name", "stdout.log") if name == "-" else (file,)
    rule = scene.recorder.inject(faults.ResetInside(3 * MIB), "UploadPart", times=2)
    (line,) = scene.cli("upload", execution, *source, "--json", stdin=DATA).ok().json_lines()
    assert rule.struck == 2
    assert (line["outcome"], line["sent_bytes"]) == ("created", len(DATA))
    sizes = [one.request_bytes for one in scene.recorder.calls("UploadPart") if one.status == 200]
    assert sorted(sizes) == [7, PART, PART]
    assert scene.contents(key) == {key: DATA}


def test_a_file_that_is_cut_while_a_part_is_sent_does_not_leave_the_server_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is read while it is sent: its promised length cannot be kept any more."""
    monkeypatch.setattr(multipart_upload, "BASE_PART_BYTES", MIB)  # all parts are read so now
    file = scene.directory / "big.bin"
    file.write_bytes(DATA)

    class Cut(faults.Fault):
        def request_chunk(self, chunk: bytes, offset: int, waiting: object) -> bytes:
            os.truncate(file, 100)
            return chunk

    scene.recorder.inject(Cut(), "UploadPart")
    result = scene.cli("upload", scene.new_execution(), file).expect(7)
    assert f"{file} changed while it was read; it was not stored" in result.err
