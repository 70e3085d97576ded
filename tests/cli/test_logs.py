"""`orchestrator logs`: the bytes as they were written, and no more of them than are shown."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.core.executions.logs.finding import FIRST_BYTES
from tests.support.commands.limits import needs_another_user
from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import CorruptAnswer, Stall
from tests.support.proxy.operations import Request
from tests.support.proxy.proxy import Proxy
from tests.support.proxy.rules import Rule
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_finished_execution, put_metadata
from tests.support.stored.objects import make_bucket, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
OpenTerminal = Callable[..., Terminal]

COLOURED = (
    b"\x1b[1;32mPASSED\x1b[0m \x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\\r\n"
    b"progress 10%\rprogress 100%\n"
    b"\xff\xfe not UTF-8 \x00\x08\x07\n"
    b"no newline at the end"
)


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_finished_execution({"logs/stdout.log": COLOURED})


# --- bytes pass unchanged --------------------------------------------------------------------


def test_bytes_are_passed_on_unchanged(cli: RunCommand, execution: str) -> None:
    result = cli("logs", execution).ok()
    assert result.stdout == COLOURED
    assert result.stderr == b""


def test_a_small_log_costs_one_request(scene: Scene, execution: str) -> None:
    assert scene.cli("logs", execution, "stdout").ok().stdout == COLOURED
    assert scene.recorder.operations() == {"GetObject": 1}
    key = f"executions/{execution}/logs/stderr.log"
    for size, ranges in ((0, 1), (FIRST_BYTES, 1), (FIRST_BYTES + 1, 2)):
        content = bytes(size)
        scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=content)
        scene.recorder.clear()
        assert scene.cli("logs", execution, "stderr").ok().stdout == content
        assert scene.recorder.count("GetObject") == ranges


def test_stripping_escapes_leaves_the_rest(cli: RunCommand, execution: str) -> None:
    expected = (
        b"PASSED link\r\nprogress 10%\rprogress 100%\n\xff\xfe not UTF-8 \x00\x08\x07\n"
        b"no newline at the end"
    )
    assert cli("logs", execution, "--strip-ansi").ok().stdout == expected


@pytest.mark.parametrize(
    ("sizes", "result", "expected"),
    [
        ({"stdout": 9, "runner": 9, "bench": 9, "stderr": 9}, "pass", "stdout"),
        ({"runner": 9, "bench": 9, "stderr": 9}, "pass", "runner"),
        ({"bench": 9, "stderr": 9}, "pass", "bench"),
        ({"stderr": 9}, "pass", "stderr"),
        ({"stdout": 0, "runner": 0, "bench": 9, "stderr": 9}, "pass", "bench"),
        ({"stdout": 0, "stderr": 0}, "pass", "stdout"),
        ({"stdout": 9, "stderr": 9}, "fail", "stderr"),
        ({"stdout": 9, "runner": 9, "stderr": 9}, "error", "stderr"),
        ({"stdout": 9, "runner": 9, "stderr": 0}, "fail", "stdout"),
        ({"stdout": 0, "stderr": 0}, "fail", "stderr"),
    ],
)
def test_the_default_is_the_first_log_that_is_not_empty(
    scene: Scene, sizes: dict[str, int], result: str, expected: str
) -> None:
    files = {f"logs/{name}.log": name.encode() * size for name, size in sizes.items()}
    execution_id = scene.put_execution(files=files, status="completed", result=result)
    shown = scene.cli("logs", execution_id).ok()
    assert (shown.out, shown.err) == (expected * sizes[expected], "")


def test_a_terminal_is_told_which_log_it_is_shown(scene: Scene, terminal: OpenTerminal) -> None:
    files = {"logs/stdout.log": b"x" * 2048, "logs/runner.log": b"", "logs/stderr.log": b"bad\n"}
    execution_id = scene.put_execution(files=files, status="completed", result="fail")
    screen = terminal("logs", execution_id, env={"PAGER": ""})
    assert screen.wait() == 0
    assert screen.output == (
        b"this is stderr, as the execution failed; there is also stdout (2.0 KiB), runner (0 B)"
        b"\r\nbad\r\n"
    )
    named = terminal("logs", execution_id, "stderr", env={"PAGER": ""})
    assert (named.wait(), named.output) == (0, b"bad\r\n")


def test_of_an_execution_that_runs_it_is_said(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"so far\n"})
    result = scene.cli("logs", execution_id).ok()
    assert result.out == "so far\n"
    assert result.err == f"{execution_id} is still running; this is what is stored of it so far\n"
    assert scene.cli("--quiet", "logs", execution_id).ok().err == ""


@pytest.mark.parametrize("record", [b"not JSON", b"[]", b"[" * 100_000, None])
def test_a_log_is_shown_whatever_its_record_is(scene: Scene, record: bytes | None) -> None:
    execution_id = make_id()
    if record is not None:
        put_metadata(scene.s3, scene.bucket, execution_id, record)
    scene.put_file(execution_id, "logs/runner.log", b"shown\n")
    assert scene.cli("logs", execution_id).ok().out == "shown\n"


def test_all_logs_are_shown_one_after_the_other(scene: Scene) -> None:
    files = {"logs/stdout.log": b"a\n\nb", "logs/stderr.log": b"E 1\nx\n", "logs/runner.log": b""}
    execution_id = scene.put_finished_execution(files)
    assert scene.cli("logs", execution_id, "--all-logs").ok().lines == [
        "stdout | a",
        "stdout | ",
        "stdout | b",
        "stderr | E 1",
        "stderr | x",
    ]
    assert scene.cli("logs", execution_id, "--all-logs", "-n", "1").ok().lines == [
        "stdout | b",
        "stderr | x",
    ]
    assert scene.cli("logs", execution_id, "--all-logs", "--grep", "E|b", "-N").ok().lines == [
        "stdout | 3:b",
        "stderr | 1:E 1",
    ]
    scene.cli("logs", execution_id, "stdout", "--all-logs").expect(2)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("stderr", "logs/stderr.log"),
        ("stderr.log", "logs/stderr.log"),
        ("logs/stderr.log", "logs/stderr.log"),
        ("artifacts/custom/[red] a&b?.txt", "artifacts/custom/[red] a&b?.txt"),
    ],
)
def test_a_name_or_a_path_chooses(scene: Scene, execution: str, name: str, path: str) -> None:
    scene.put_file(execution, path, b"chosen\n")
    assert scene.cli("logs", execution, name).ok().out == "chosen\n"
    environment = {"ORCHESTRATOR_EXECUTION_ID": execution}
    assert scene.cli("logs", name, env=environment).ok().out == "chosen\n"


def test_the_execution_may_be_latest_or_a_prefix(cli: RunCommand, execution: str) -> None:
    assert cli("logs", "@latest").ok().stdout == COLOURED
    assert cli("logs", execution[:-1].lower(), "stdout").ok().stdout == COLOURED
    assert cli("logs", env={"ORCHESTRATOR_EXECUTION_ID": execution}).ok().stdout == COLOURED


# --- the end of a log ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "count", "expected"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\nc\n", 3, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 4, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 10**12, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 0, b""),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"\n", 1, b"\n"),
        (b"a", 1, b"a"),
        (b"", 5, b""),
        (b"a\rb\rc\nd\n", 1, b"d\n"),
    ],
)
def test_tail_prints_the_last_lines(
    scene: Scene, content: bytes, count: int, expected: bytes
) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": content})
    assert scene.cli("logs", execution_id, "--tail", str(count)).ok().stdout == expected


def test_tail_crosses_the_steps_it_reads_in(scene: Scene) -> None:
    # Lines end exactly at, before and behind what is read at once.
    line = b"x" * 1023 + b"\n"
    content = line * (64 + 256 + 2)
    execution_id = scene.put_execution(files={"logs/stdout.log": content})
    for count in (63, 64, 65, 320, 321, 322):
        assert scene.cli("logs", execution_id, "-n", str(count)).ok().stdout == line * count


def test_the_tail_of_a_small_log_is_compared_with_its_checksum(scene: Scene) -> None:
    execution_id = scene.new_execution()
    file = scene.write_tree({"stdout.log": b"one\ntwo\n" * 30_000}) / "stdout.log"
    scene.cli("upload", execution_id, file).ok()
    scene.recorder.clear()
    assert scene.cli("logs", execution_id, "stdout", "-n", "1").ok().out == "two\n"
    assert scene.recorder.operations() == {"HeadObject": 1, "GetObject": 1}
    scene.recorder.inject(CorruptAnswer(7), "GetObject", key="stdout.log", times=None)
    refused = scene.cli("logs", execution_id, "stdout", "-n", "1").expect(7)
    assert (refused.out, "do not match their checksum" in refused.err) == ("", True)


@pytest.fixture(scope="module")
def large(s3: S3Client) -> Iterator[tuple[str, str]]:
    """A bucket and an execution with one line of 100 MB and five more after it."""
    bucket = make_bucket(s3)
    execution_id = put_finished_execution(s3, bucket, {})
    key = f"executions/{execution_id}/logs/stdout.log"
    s3.put_object(Bucket=bucket, Key=key, Body=b"first\n" + b"x" * 100_000_000 + END)
    yield bucket, execution_id
    remove_bucket(s3, bucket)


END = b"\n1\n2\n3\n4\n5\n"


def test_the_end_of_a_large_log_moves_less_than_a_mebibyte(
    scene: Scene, large: tuple[str, str]
) -> None:
    bucket, execution_id = large
    assert scene.cli("--bucket", bucket, "logs", execution_id, "--tail", "5").ok().stdout == END[1:]
    assert 0 < scene.recorder.response_bytes() < MIB


# Runs the command and says how much memory it took. A child of this small process, because what
# the one that starts it takes would count too.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "orchestrator_cli", *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak // 1024 if sys.platform == "darwin" else peak, file=sys.stderr)
sys.exit(code)
"""


def test_a_line_of_100_mb_passes_whole_in_bounded_memory(
    scene: Scene, cli_process: Processes, large: tuple[str, str]
) -> None:
    bucket, execution_id = large
    output = scene.directory / "log"
    measured = (sys.executable, "-c", MEASURED)
    with output.open("wb") as file:
        process = cli_process.start(
            "--bucket", bucket, "logs", execution_id, stdout=file, command=measured
        )
        peak_kib = int(process.communicate(timeout=90)[1])
    assert process.returncode == 0
    assert peak_kib < 200 * 1024
    with output.open("rb") as file:
        assert file.readline() == b"first\n"
        block = b"x" * MIB
        for _ in range(100_000_000 // MIB):
            assert file.read(MIB) == block
        assert file.read() == b"x" * (100_000_000 % MIB) + END


def test_head_ends_quietly_and_the_transfer_with_it(
    scene: Scene, large: tuple[str, str], cli_process: Processes
) -> None:
    bucket, execution_id = large
    process = cli_process.start("--bucket", bucket, "logs", execution_id)
    assert process.stdout is not None
    with subprocess.Popen(["head", "-1"], stdin=process.stdout, stdout=subprocess.PIPE) as head:
        process.stdout.close()
        assert head.communicate()[0] == b"first\n"
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    scene.recorder.settle()
    assert scene.recorder.response_bytes() < 40 * MIB


class BehindTheFirstRange(Rule):
    """All ranges but the first."""

    def strikes(self, request: Request, chance: random.Random) -> bool:
        wanted = request.headers.get("range", "bytes=0-")
        return request.operation == "GetObject" and not wanted.startswith("bytes=0-")


def test_head_does_not_wait_for_what_was_read_ahead(
    large: tuple[str, str], recorder: Proxy, cli_process: Processes
) -> None:
    bucket, execution_id = large
    recorder.rules.append(BehindTheFirstRange(Stall()))
    process = cli_process.start("--bucket", bucket, "logs", execution_id)
    assert process.stdout is not None
    assert process.stdout.read(6) == b"first\n"
    process.stdout.close()
    assert process.wait(30) == 0


# --- search ----------------------------------------------------------------------------------


@pytest.fixture
def searched(scene: Scene) -> str:
    lines = [b"\x1b[31mERROR\x1b[0m %d \xff\n" % n if n % 3 == 0 else b"fine\n" for n in range(10)]
    return scene.put_finished_execution({"logs/stdout.log": b"".join(lines)})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--grep", "ERROR"], [0, 3, 6, 9]),
        (["--grep", "^ERROR [03]"], [0, 3]),
        (["--grep", "ERROR", "--tail", "2"], [6, 9]),
        (["--grep", "ERROR", "--tail", "0"], []),
        (["--grep", "ERROR", "--tail", "99"], [0, 3, 6, 9]),
        (["--grep", "(?i)error.* [36]"], [3, 6]),
        (["--grep", "error.* [36]", "-i"], [3, 6]),
        (["--grep", "R 3", "--grep", "R 9"], [3, 9]),
        (["--grep", "error 3", "--grep", "R 9", "-iF"], [3, 9]),
    ],
)
def test_grep_prints_the_lines_that_match(
    cli: RunCommand, searched: str, options: list[str], expected: list[int]
) -> None:
    shown = b"".join(b"\x1b[31mERROR\x1b[0m %d \xff\n" % n for n in expected)
    assert cli("logs", searched, *options).ok().stdout == shown


def test_grep_finds_text_without_its_escape_sequences(cli: RunCommand, searched: str) -> None:
    result = cli("logs", searched, "--grep", "^ERROR [03]", "--strip-ansi").ok()
    assert result.stdout == b"ERROR 0 \xff\nERROR 3 \xff\n"


def test_no_match_is_exit_code_1(cli: RunCommand, searched: str, tmp_path: Path) -> None:
    for options in (["--grep", "nowhere"], ["--grep", "ERROR.x", "-F", "-C", "3"]):
        result = cli("logs", searched, *options).expect(1)
        assert (result.out, result.err) == ("", "")
    assert cli("logs", searched, "--grep", "nowhere", "-c").expect(1).out == "0\n"
    cli("logs", searched, "--grep", "nowhere", "-o", tmp_path / "none").expect(1)
    assert (tmp_path / "none").read_bytes() == b""


def test_c_counts_the_lines_that_match(cli: RunCommand, searched: str) -> None:
    assert cli("logs", searched, "--grep", "ERROR", "-c").ok().out == "4\n"
    assert cli("logs", searched, "--grep", "ERROR", "-c", "--all-logs").ok().out == "stdout | 4\n"


def test_grep_prints_lines_around_and_line_numbers(scene: Scene) -> None:
    lines = [b"%d\n" % number for number in range(1, 20)] + [b"20"]
    execution_id = scene.put_finished_execution({"logs/stdout.log": b"".join(lines)})

    def search(*options: str) -> list[str]:
        return scene.cli("logs", execution_id, "--grep", "^(3|6|12|20)$", *options).ok().lines

    assert search("-N") == ["3:3", "6:6", "12:12", "20:20"]
    assert search("-C", "1") == [*"234567", "--", "11", "12", "13", "--", "19", "20"]
    assert search("-A", "1", "-N")[:6] == ["3:3", "4-4", "--", "6:6", "7-7", "--"]
    assert search("-B", "1", "-C", "0", "-N")[:5] == ["2-2", "3:3", "--", "5-5", "6:6"]
    assert search("-C", "1", "-n", "2") == ["19", "20"]
    numbered = scene.cli("logs", execution_id, "-N", "-n", "2").ok().out
    assert numbered == "19:19\n20:20\n"
    assert scene.cli("logs", execution_id, "-N").ok().lines[:2] == ["1:1", "2:2"]


@pytest.mark.parametrize("pattern", ["(", "[", "a{9999}", r"(a)\1", "a(?=b)"])
def test_what_is_no_pattern_is_a_usage_error(cli: RunCommand, execution: str, pattern: str) -> None:
    result = cli("logs", execution, "--grep", pattern).expect(2)
    assert result.stdout == b""
    assert "not a regular expression that RE2 knows" in result.err
    assert "neither backreferences nor look-around" in result.err


def test_options_of_a_search_need_one(cli: RunCommand, execution: str) -> None:
    for option in (["-i"], ["-F"], ["-c"], ["-C", "2"], ["-A", "1"], ["-B", "1"]):
        assert "go with --grep" in cli("logs", execution, *option).expect(2).err


# --- into a file -----------------------------------------------------------------------------


def test_output_goes_into_a_file(scene: Scene, execution: str) -> None:
    output = scene.directory / "run.log"
    result = scene.cli("logs", execution, "-o", output).ok()
    assert (result.stdout, result.stderr) == (b"", b"")
    assert output.read_bytes() == COLOURED
    assert [one.name for one in scene.directory.iterdir()] == ["run.log"]
    assert scene.cli("logs", execution, "-o", "-").ok().stdout == COLOURED


@pytest.mark.parametrize("other", [b"", b"x", COLOURED[:-1], COLOURED + b"\n", COLOURED * 2])
def test_a_file_of_other_content_is_replaced_only_when_asked(
    scene: Scene, execution: str, other: bytes
) -> None:
    output = scene.directory / "run.log"
    output.write_bytes(other)
    result = scene.cli("logs", execution, "-o", output).expect(6)
    assert "run.log exists with other content; nothing was changed" in result.err
    assert "--overwrite" in result.err
    assert output.read_bytes() == other
    scene.cli("logs", execution, "-o", output, "--overwrite").ok()
    assert output.read_bytes() == COLOURED
    # The same content again is no conflict.
    scene.cli("logs", execution, "-o", output).ok()


def test_a_link_is_kept_and_what_it_names_is_written(scene: Scene, execution: str) -> None:
    output, link = scene.directory / "run.log", scene.directory / "link"
    output.write_text("old")
    link.symlink_to("run.log")
    scene.cli("logs", execution, "-o", link, "--overwrite").ok()
    assert link.is_symlink()
    assert output.read_bytes() == COLOURED


@needs_another_user
def test_a_link_of_another_user_is_replaced_and_not_followed(scene: Scene, execution: str) -> None:
    target, link = scene.directory / "target", scene.directory / "run.log"
    target.write_text("kept")
    link.symlink_to(target)
    os.lchown(link, 54321, 54321)
    scene.cli("logs", execution, "-o", link).expect(6)
    scene.cli("logs", execution, "-o", link, "--overwrite").ok()
    assert target.read_text() == "kept"
    assert not link.is_symlink()
    assert link.read_bytes() == COLOURED


def test_an_empty_log_makes_an_empty_file(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b""})
    assert scene.cli("logs", execution_id).ok().stdout == b""
    scene.cli("logs", execution_id, "-o", scene.directory / "empty").ok()
    assert (scene.directory / "empty").read_bytes() == b""


def test_a_file_that_cannot_be_written_is_one_clear_error(scene: Scene, execution: str) -> None:
    result = scene.cli("logs", execution, "-o", scene.directory / "no\x1b" / "run.log").expect(1)
    assert result.err.startswith("error: cannot write ")
    assert result.err.endswith("no\\x1b/run.log: No such file or directory\n")
    assert result.err.count("\n") == 1
    full = scene.cli("logs", execution, "-o", "/dev/full").expect(1)
    assert full.err == "error: cannot write /dev/full: No space left on device\n"
    scene.cli("logs", execution, "-o", "/dev/null").ok()
    assert "is a directory" in scene.cli("logs", execution, "-o", scene.directory).expect(2).err


def test_a_log_that_cannot_be_read_leaves_the_file_alone(scene: Scene) -> None:
    output = scene.directory / "run.log"
    output.write_text("kept")
    execution_id = scene.put_execution()
    scene.put_file(execution_id, "logs/stdout.log", b"x", StorageClass="DEEP_ARCHIVE")
    for option in ([], ["--overwrite"]):
        scene.cli("logs", execution_id, "-o", output, *option).expect(8)
        scene.cli("logs", make_id(), "-o", output, *option).expect(4)
        assert output.read_text() == "kept"


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["stderr", "nonsense", "../x", "metadata.json", "a//b", "\x1b[31m"]
)
def test_a_missing_log_is_named(cli: RunCommand, execution: str, name: str) -> None:
    result = cli("logs", execution, name).expect(4)
    assert result.stdout == b""
    shown = name.replace("\x1b", "\\x1b")
    assert result.err == (
        f"error: no such log in {execution}: {shown}\n"
        f"hint: `orchestrator ls {execution}` lists its files\n"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("stdot", "stdout"),
        ("Stdout", "stdout"),
        ("sterr.log", "stderr.log"),
        ("artifacts/custom/serial.txt", "artifacts/custom/serial.log"),
    ],
)
def test_a_misspelt_log_is_answered_with_the_nearest(
    scene: Scene, execution: str, name: str, meant: str
) -> None:
    scene.put_file(execution, "artifacts/custom/serial.log", b"x")
    result = scene.cli("logs", execution, name).expect(4)
    assert f"error: no such log in {execution}: {name}\n" in result.err
    assert f"hint: did you mean {meant}? `orchestrator ls" in result.err


def test_an_execution_without_logs_is_an_error(scene: Scene) -> None:
    execution_id = scene.put_execution()
    assert f"error: no log in {execution_id}\n" in scene.cli("logs", execution_id).expect(4).err


def test_a_missing_execution_is_named(scene: Scene) -> None:
    missing = make_id()
    for arguments in ([missing], [missing, "stdout"], [missing, "../x"]):
        result = scene.cli("logs", *arguments).expect(4)
        assert f"error: no such execution: {missing} in s3://{scene.bucket}" in result.err


def test_a_missing_bucket_is_named(scene: Scene) -> None:
    assert (
        "no such bucket"
        in scene.cli("--bucket", f"{scene.bucket}-gone", "logs", make_id()).expect(4).err
    )


def test_an_archived_log_has_to_be_restored(scene: Scene) -> None:
    execution_id = scene.put_execution()
    scene.put_file(execution_id, "logs/stdout.log", b"x\n" * 9, StorageClass="DEEP_ARCHIVE")
    for options in ([], ["--tail", "1"], ["--grep", "x"]):
        result = scene.cli("logs", execution_id, *options).expect(8)
        assert result.stdout == b""
        assert "archived" in result.err
        assert "restore" in result.err


@pytest.mark.parametrize("arguments", [["--tail", "-1"], ["--tail", "x"], ["stdout", "stderr"]])
def test_arguments_that_cannot_be_used_are_refused(
    cli: RunCommand, execution: str, arguments: list[str]
) -> None:
    assert cli("logs", execution, *arguments).expect(2).stdout == b""
    assert "missing argument 'ID'" in cli("logs").expect(2).err


# --- in a terminal ---------------------------------------------------------------------------


def make_pager(directory: Path, body: str) -> str:
    pager = directory / "pager script"
    pager.write_text(f"#!/bin/sh\n{body}\n")
    pager.chmod(pager.stat().st_mode | stat.S_IXUSR)
    return f"'{pager}' --some-option"


def test_a_log_opens_in_the_pager(execution: str, terminal: OpenTerminal, tmp_path: Path) -> None:
    pager = make_pager(tmp_path, f'cat >{tmp_path}/seen; echo "$# $1 LESS=$LESS"')
    screen = terminal("logs", execution, "stdout", env={"PAGER": pager})
    assert screen.wait() == 0
    assert screen.output == b"1 --some-option LESS=FRX\r\n"
    assert (tmp_path / "seen").read_bytes() == COLOURED


def test_leaving_the_pager_early_ends_quietly(
    scene: Scene, large: tuple[str, str], terminal: OpenTerminal
) -> None:
    bucket, execution_id = large
    pager = make_pager(scene.directory, "head -1")
    screen = terminal("--bucket", bucket, "logs", execution_id, "stdout", env={"PAGER": pager})
    assert screen.wait() == 0
    assert screen.output == b"first\r\n"
    scene.recorder.settle()
    assert scene.recorder.response_bytes() < 40 * MIB


def test_ctrl_c_is_the_pagers(scene: Scene, large: tuple[str, str], terminal: OpenTerminal) -> None:
    bucket, execution_id = large
    # It waits for a key after Ctrl-C, as less does, while the rest of the log waits for it.
    body = (
        "trap 'echo caught' INT; head -1\n"
        "until read key </dev/tty && test $key = q; do :; done; echo $key end"
    )
    screen = terminal(
        "--bucket",
        bucket,
        "logs",
        execution_id,
        "stdout",
        env={"PAGER": make_pager(scene.directory, body)},
    )
    screen.read_until(b"first")
    # A shell that is just about to read runs its trap after the line that it reads.
    screen.send(b"\x03\n")
    screen.read_until(b"caught")
    screen.send(b"\nq\n")
    assert screen.wait() == 0
    assert screen.output.endswith(b"q end\r\n")
    assert b"interrupted" not in screen.output


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager-anywhere"])
def test_without_a_pager_a_short_log_is_shown_whole(
    execution: str, terminal: OpenTerminal, pager: str
) -> None:
    screen = terminal("logs", execution, "stdout", env={"PAGER": pager})
    assert screen.wait() == 0
    assert screen.output == COLOURED.replace(b"\n", b"\r\n")


def test_without_a_pager_a_long_log_is_cut_and_says_so(
    scene: Scene, terminal: OpenTerminal
) -> None:
    lines = [b"%07d\n" % number for number in range(140_000)]
    execution_id = scene.put_execution(files={"logs/stdout.log": b"".join(lines)})
    # One that cannot be read names none.
    screen = terminal("logs", execution_id, "stdout", env={"PAGER": 'less "x'})
    assert screen.wait() == 0
    said, _, shown = screen.output.partition(b"\r\n")
    assert said == b"the last 1,000 lines; --all shows everything"
    assert shown == b"".join(lines[-1000:]).replace(b"\n", b"\r\n")


def test_a_tail_or_all_needs_no_pager(
    execution: str, terminal: OpenTerminal, tmp_path: Path
) -> None:
    pager = make_pager(tmp_path, "echo never")
    for options, expected in (
        (["--tail", "1"], b"no newline at the end"),
        (["--all"], COLOURED.replace(b"\n", b"\r\n")),
    ):
        screen = terminal("logs", execution, "stdout", *options, env={"PAGER": pager})
        assert screen.wait() == 0
        assert screen.output == expected


def test_a_pipe_needs_no_pager(execution: str, cli_process: Processes, tmp_path: Path) -> None:
    pager = make_pager(tmp_path, "echo never")
    assert cli_process.run("logs", execution, env={"PAGER": pager}).ok().stdout == COLOURED


def test_a_count_is_of_all_lines(cli: RunCommand) -> None:
    refused = cli("logs", make_id(), "--tail", "0", "--grep", "x", "-c").expect(2)
    assert "-c counts all lines; it does not go with --tail" in refused.err
