"""Descriptors that belong to somebody else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from orchestrator_cli.core.base.descriptors import widen_pipe

_MIB = 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the size of a pipe")
def test_a_pipe_holds_a_mebibyte_once_it_was_widened() -> None:
    reader, writer = os.pipe()
    try:
        widen_pipe(writer)
        os.set_blocking(writer, False)
        assert os.write(writer, bytes(2 * _MIB)) == _MIB
    finally:
        os.close(reader)
        os.close(writer)


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        widen_pipe(file.fileno())
        file.write(b"text")
    assert path.read_bytes() == b"text"
