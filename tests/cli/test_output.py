"""Colour, progress and JSON: right in a terminal, plain in a pipe."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.cli.output import (
    Messages,
    Output,
    human_count,
    human_size,
    human_time,
    progress,
)
from tests.support.commands.running import Processes, RunCommand, strip_ansi
from tests.support.commands.terminal import Terminal
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

OpenTerminal = Callable[..., Terminal]
MIB = 1024 * 1024
RED = b"\x1b[31m"


@pytest.fixture
def failed(scene: Scene) -> str:
    """A failed execution, of which the listing is red."""
    return scene.put_execution(status="completed", result="fail", ended_at=None)


# --- colour ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": ""}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "always"], {"TERM": "dumb"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"ORCHESTRATOR_COLOR": "always"}, True),
        (["--color", "auto"], {"ORCHESTRATOR_COLOR": "always"}, False),
    ],
)
def test_a_pipe_is_coloured_only_where_that_is_asked_for(
    cli: RunCommand, failed: str, options: list[str], environment: dict[str, str], coloured: bool
) -> None:
    result = cli(*options, "ls", env=environment).ok()
    assert (RED in result.stdout) is coloured
    assert strip_ansi(result.out).startswith(failed)
    assert result.out.endswith("\n")
    assert result.stderr == b""


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": ""}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
    ],
)
def test_a_terminal_is_coloured_unless_that_is_refused(
    terminal: OpenTerminal,
    failed: str,
    options: list[str],
    environment: dict[str, str],
    coloured: bool,
) -> None:
    screen = terminal(*options, "ls", env=environment)
    assert screen.wait() == 0
    assert (RED in screen.output) is coloured
    shown = strip_ansi(screen.output.decode()).split("\r\n")
    # The header is for people only; a row is never broken, so that it can be copied.
    assert shown[0].split() == ["EXECUTION", "STARTED", "RESULT", "SUITE", "DURATION"]
    assert shown[1].startswith(failed)
    assert len(shown) == 3


def test_log_bytes_are_never_coloured_or_stripped(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": RED + b"red"})
    for color in ("always", "never"):
        assert scene.cli("--color", color, "logs", execution_id).ok().stdout == RED + b"red"


# --- progress --------------------------------------------------------------------------------


def test_a_pipe_sees_lines_and_no_carriage_return(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_LINE_SECONDS", 0.0)
    tree = scene.write_tree({f"{number}.txt": "x" * 100 for number in range(5)})
    for options in ([], ["--color", "always"]):
        execution_id = scene.put_execution(make_id(number=len(options)))
        result = scene.cli(*options, "upload", execution_id, tree).ok()
        assert result.stdout == b""
        assert b"\r" not in result.stderr
        assert b"\x1b" not in result.stderr
        lines = result.err.splitlines()
        assert all(re.match(r"uploading: \d files?, [\d.]+ \w+, ", line) for line in lines[:-1])
        assert lines[-2].startswith("uploading: 5 files, 500 B, ")
        assert lines[-1].startswith(f"uploaded to {execution_id}: 5 files, 500 B")
        again = scene.cli(*options, "upload", execution_id, tree).ok().err.splitlines()
        assert again[-2].startswith("uploading: 5 files, 500 B, 0 B/s")


@pytest.mark.parametrize(
    ("files", "size", "spared", "seconds", "status"),
    [
        (0, 0, 0, 0.1, "moving: 0 of 4 files, 0 B of 4.0 MiB, 0 B/s"),
        # A large part that has begun is not counted yet, so the time that is left would be wrong.
        (3, 102400, 0, 8, "moving: 3 of 4 files, 100.0 KiB of 4.0 MiB, 12.5 KiB/s"),
        (1, MIB, 0, 2, "moving: 1 of 4 files, 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6s left"),
        # What was there already is done, and says nothing of how fast it goes.
        (3, MIB, 2 * MIB, 2, "moving: 3 of 4 files, 3.0 MiB of 4.0 MiB, 512.0 KiB/s, 1s left"),
        (4, 4 * MIB, 0, 4, "moving: 4 of 4 files, 4.0 MiB of 4.0 MiB, 1.0 MiB/s, 0s left"),
    ],
)
def test_progress_says_how_much_is_left(
    monkeypatch: pytest.MonkeyPatch, files: int, size: int, spared: int, seconds: float, status: str
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    moving = progress.Progress("moving")
    moving.expect(4, 4 * MIB)
    for number in range(files):
        moving.add_file(spared if number == 0 else 0)
    moving.add_bytes(size)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 + seconds)
    assert moving.status() == status


def test_the_rate_and_the_count_give_way_to_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    moving = progress.Progress("moving")
    moving.expect(1, 4 * MIB)
    moving.add_bytes(MIB)
    monkeypatch.setattr(time, "monotonic", lambda: 102.0)
    # Of one large file there is no count to tell the time by.
    whole = "moving: 0 of 1 file, 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6s left"
    assert moving.status(len(whole)) == moving.status() == whole
    assert moving.status(52) == "moving: 0 of 1 file, 1.0 MiB of 4.0 MiB, 6s left"
    assert moving.status(38) == "moving: 1.0 MiB of 4.0 MiB, 6s left"


def test_the_total_is_found_out_only_where_it_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    short = progress.Progress("moving")
    short.expect_later(lambda: pytest.fail("nobody needs to know"))
    assert short.status() == "moving: 0 files"
    monkeypatch.setattr(progress, "COUNT_AFTER_SECONDS", 0.0)
    counted = threading.Event()

    def sizes() -> Iterator[int]:
        yield from (MIB, MIB)
        counted.set()

    longer = progress.Progress("moving")
    longer.expect_later(sizes)
    longer.status()
    assert counted.wait(30)
    while longer.total_files is None:
        time.sleep(0.001)
    assert longer.status().startswith("moving: 0 of 2 files, 0 B of 2.0 MiB")


def test_lines_count_what_there_is_shortly_before_the_first_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes time from a transfer that has ended by then."""
    counted = threading.Event()

    def sizes() -> Iterator[int]:
        counted.set()
        yield MIB

    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    lines = progress.LineProgress("moving", lambda line: None)
    lines.expect_later(sizes)
    monkeypatch.setattr(time, "monotonic", lambda: 102.0)
    lines.add_file()
    assert not counted.wait(0.05)
    monkeypatch.setattr(time, "monotonic", lambda: 103.0)
    lines.add_file()
    assert counted.wait(30)


@pytest.mark.parametrize("columns", [40, 120])
def test_live_progress_fits_the_terminal(
    scene: Scene, terminal: OpenTerminal, columns: int
) -> None:
    execution_id = scene.put_execution(files={"artifacts/custom/x.txt": b"x" * 2000})
    screen = terminal("download", execution_id, columns=columns)
    assert screen.wait() == 0
    frames = re.split(r"[\r\n]", strip_ansi(screen.output.decode()))
    shown = [frame.rstrip() for frame in frames if "downloading: " in frame]
    assert shown
    assert any("of 1 file," in frame or "of 2.0 KiB" in frame for frame in shown)
    assert all(len(frame) <= columns for frame in shown)


def test_quiet_shows_no_progress(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_LINE_SECONDS", 0.0)
    tree = scene.write_tree({"x.txt": "x"})
    execution_id = scene.put_execution()
    result = scene.cli("-q", "upload", execution_id, tree).ok()
    assert (result.stdout, result.stderr) == (b"", b"")
    verbose = scene.cli("-v", "upload", execution_id, tree).ok()
    assert "identical: artifacts/custom/x.txt\n" in verbose.err


def test_a_terminal_sees_a_live_line_that_goes_away(scene: Scene, terminal: OpenTerminal) -> None:
    execution_id = scene.put_execution()
    screen = terminal("upload", execution_id, scene.write_tree({"x.txt": "x"}))
    assert screen.wait() == 0
    assert b"uploading: " in screen.output
    assert screen.output.endswith(b"sent\r\n")
    assert b"\x1b[?25h" in screen.output


@pytest.mark.parametrize("command", ["upload", "download"])
def test_json_goes_to_its_file_and_progress_to_the_terminal(
    scene: Scene, terminal: OpenTerminal, command: str
) -> None:
    execution_id = scene.put_execution(files={"artifacts/custom/x.txt": b"x"})
    where = scene.write_tree({"x.txt": "x"}) if command == "upload" else "--output=out"
    with (scene.directory / "out.json").open("wb") as file:
        screen = terminal(command, execution_id, where, "--json", stdout=file.fileno())
        assert screen.wait() == 0
    record = json.loads((scene.directory / "out.json").read_bytes())
    assert record["path"] == "artifacts/custom/x.txt"
    assert b'"path"' not in screen.output
    assert f"{command}ing: ".encode() in screen.output


# --- nobody reads ----------------------------------------------------------------------------


def test_work_goes_on_although_nobody_reads_about_it(scene: Scene, cli_process: Processes) -> None:
    execution_id = scene.put_execution()
    tree = scene.write_tree({f"{number}.txt": "x" for number in range(30)})
    process = cli_process.start("-v", "upload", execution_id, tree, "--json")
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert process.wait(60) == 0
    prefix = f"executions/{execution_id}/artifacts/"
    assert scene.s3.list_objects_v2(Bucket=scene.bucket, Prefix=prefix)["KeyCount"] == 30


def test_a_failure_keeps_its_code_although_nobody_reads_about_it(
    scene: Scene, cli_process: Processes
) -> None:
    execution_id = scene.put_execution(files={"artifacts/custom/x.txt": b"other"})
    tree = scene.write_tree({"x.txt": "x"})
    process = cli_process.start("upload", execution_id, tree, "--json")
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert process.wait(60) == 6


# --- text that no terminal may act on --------------------------------------------------------

HOSTILE = "\x1b[31m\x9b31m\x07\r\n\u202e\u2066\u2028\x7f\udcff\U0001f600[red]"


def captured(monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer: Any = stream.buffer
    content: bytes = buffer.getvalue()
    return content


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_is_whole_and_harmless(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stream = captured(monkeypatch, encoding)
    when = datetime(2026, 1, 31, 8, tzinfo=UTC)
    Output("auto", {}).json({HOSTILE: HOSTILE, "when": when, "path": Path("x")})
    line = written(stream).decode(encoding)
    assert line.count("\n") == 1
    assert not set(line) & set("\x1b\x9b\x07\r\u202e\u2066\u2028\x7f\udcff")
    assert ("\U0001f600" in line) is (encoding == "utf-8")
    assert json.loads(line) == {HOSTILE: HOSTILE, "when": "2026-01-31T08:00:00Z", "path": "x"}


@pytest.mark.parametrize("method", ["note", "detail", "warn", "failure"])
def test_what_is_said_is_one_harmless_line(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    stream = captured(monkeypatch)
    getattr(Messages("auto", 1, {}), method)(HOSTILE)
    text = written(stream).decode()
    assert text.count("\n") == 1
    assert not set(text) & set("\x1b\x9b\x07\r\u202e\u2066\u2028\x7f\udcff")
    assert "[red]" in text


def test_quiet_keeps_warnings_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = captured(monkeypatch)
    quiet = Messages("auto", -1, {})
    for method in (quiet.note, quiet.detail, quiet.warn, quiet.failure):
        method("x")
    assert written(stream) == b"warning: x\nfailed: x\n"


def test_saying_something_to_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    Messages("auto", 0, {}).warn("x")


# --- units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"), (1024**3, "1.0 GiB"), (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_written_in_binary_units(size_bytes: int, text: str) -> None:
    assert human_size(size_bytes) == text


def test_counts_and_times_are_written_for_people() -> None:
    assert [human_count(count, "file") for count in (0, 1, 2000)] == [
        "0 files", "1 file", "2,000 files",
    ]  # fmt: skip
    assert human_time(None) == "-"
    assert human_time(datetime(2026, 1, 31, 8, tzinfo=UTC)) == "2026-01-31 08:00:00Z"
