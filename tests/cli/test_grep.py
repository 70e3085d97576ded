"""`orchestrator grep`: lines of many executions' logs, the newest execution first."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands.running import Processes, RunCommand
from tests.support.proxy.faults import access_denied
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, manifest_digest, put_keys, put_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.commands.terminal import Terminal


FINISHED = {
    "status": "completed",
    "artifact_status": "complete",
    "ended_at": "2026-01-31T09:00:00.000Z",
    "manifest_sha256": manifest_digest({}),
    "artifacts": [],
}


def ago(**span: float) -> str:
    """Return the id of an execution that began so long ago."""
    return make_id(datetime.now(UTC) - timedelta(**span))


@pytest.fixture
def ids(scene: Scene) -> list[str]:
    """Four executions, the oldest first, each with more of what is searched for."""
    made = [ago(days=3), ago(hours=20), ago(hours=2), ago(minutes=1)]
    files: list[dict[str, bytes]] = [
        {"logs/stdout.log": b"old ERROR\n"},
        {"logs/stdout.log": b"fine\nan \x1b[31mERROR\x1b[0m\r\n", "logs/runner.log": b""},
        {"logs/stderr.log": b"ERROR: caf\xe9\n", "logs/stdout.log": b"fine\n"},
        {"logs/stdout.log": b"1\n2\nerror 3\n4", "artifacts/custom/x.log": b"ERROR\n"},
    ]
    fields: list[dict[str, Any]] = [
        {"result": "pass"},
        {"result": "fail", "test_suite": "smoke", "labels": {"a": "1", "b": "2"}},
        {"result": "error", "test_suite": "night", "bench_id": "bench-7", "labels": {"a": "1"}},
        {},
    ]
    for execution_id, stored, more in zip(made, files, fields, strict=True):
        ended = FINISHED if more else {}
        scene.put_execution(execution_id, stored, **ended, **more)
    return made


def test_lines_come_newest_first_with_where_they_are(cli: RunCommand, ids: list[str]) -> None:
    result = cli("grep", "ERROR").ok()
    assert result.stdout == b"%s:stderr:1:%s%s:stdout:2:%s" % (
        ids[2].encode(),
        b"ERROR: caf\xe9\n",
        ids[1].encode(),
        b"an \x1b[31mERROR\x1b[0m\r\n",
    )
    assert result.err == ""
    found = cli("grep", "-i", "error").ok().stdout.splitlines()
    assert [line[:26].decode() for line in found] == [ids[3], ids[2], ids[1]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "7d"], [3, 2, 1, 0]),
        (["--since", "7d", "--until", "1d"], [0]),
        (["--since", "3h"], [3, 2]),
        (["--until", "1h"], [2, 1]),
        (["--log", "stdout"], [3, 1]),
        (["--log", "stderr"], [2]),
        (["--log", "stderr", "--log", "stdout"], [3, 2, 1]),
        (["--result", "fail"], [1]),
        (["--result", "fail", "--result", "error"], [2, 1]),
        (["--suite", "night", "--suite", "smoke"], [2, 1]),
        (["--suite", "night", "--result", "fail"], []),
        (["--bench", "bench-7"], [2]),
        (["--label", "a=1"], [2, 1]),
        (["--label", "a=1", "--label", "b=2"], [1]),
    ],
)
def test_the_window_and_the_filters_choose_what_is_searched(
    cli: RunCommand, ids: list[str], options: list[str], expected: list[int]
) -> None:
    result = cli("grep", "(?i)error", "-l", *options).expect(0 if expected else 1)
    assert [line[:26] for line in result.lines] == [ids[number] for number in expected]


def test_l_prints_which_logs_match_and_c_how_many_lines(cli: RunCommand, ids: list[str]) -> None:
    assert cli("grep", "-l", "fine").ok().lines == [f"{ids[2]}:stdout", f"{ids[1]}:stdout"]
    assert cli("grep", "-c", "[0-9]").ok().lines == [f"{ids[3]}:stdout:4"]
    assert cli("grep", "-c", "nowhere").expect(1).out == ""
    cli("grep", "-lc", "x").expect(2)


def test_lines_around_a_match_are_marked_and_grouped(cli: RunCommand, ids: list[str]) -> None:
    assert cli("grep", "-F", "error 3", "-C", "1").ok().lines == [
        f"{ids[3]}-stdout-2-2",
        f"{ids[3]}:stdout:3:error 3",
        f"{ids[3]}-stdout-4-4",
    ]


def test_json_is_an_object_a_line(cli: RunCommand, ids: list[str]) -> None:
    assert cli("grep", "ERROR", "--json").ok().json_lines() == [
        {
            "execution_id": ids[2],
            "log": "stderr",
            "line": 1,
            "offset_bytes": 0,
            "is_match": True,
            "text": "ERROR: caf\ufffd",
        },
        {
            "execution_id": ids[1],
            "log": "stdout",
            "line": 2,
            "offset_bytes": 5,
            "is_match": True,
            "text": "an \x1b[31mERROR\x1b[0m",
        },
    ]
    where = {"execution_id": ids[2], "log": "stderr"}
    assert cli("grep", "caf", "-l", "--json").ok().json() == where
    assert cli("grep", "caf", "-c", "--json").ok().json() == {**where, "count": 1}


def test_no_match_is_exit_code_1(cli: RunCommand, ids: list[str]) -> None:
    result = cli("grep", "nowhere").expect(1)
    assert (result.out, result.err) == ("", "")
    assert cli("grep", "x", "--until", "300d", "--since", "400d").expect(1).out == ""


@pytest.mark.parametrize(
    "arguments",
    [["("], [r"(a)\1"], [], ["x", "--since", "1h", "--until", "2h"], ["x", "--log", "stdot"]],
)
def test_arguments_that_cannot_be_used_are_refused(scene: Scene, arguments: list[str]) -> None:
    assert scene.cli("grep", *arguments).expect(2).stdout == b""


def test_a_log_that_cannot_be_read_is_said_and_the_others_are_searched(
    scene: Scene, ids: list[str]
) -> None:
    archived = make_id(datetime.now(UTC) - timedelta(hours=1), 1)
    scene.put_execution(archived)
    scene.put_file(archived, "logs/stdout.log", b"ERROR", StorageClass="DEEP_ARCHIVE")
    scene.recorder.inject(access_denied(), key=f"executions/{ids[2]}/logs/stderr.log")
    result = scene.cli("grep", "ERROR").expect(3)
    assert result.lines[0].startswith(f"{ids[1]}:stdout:2:an ")
    assert f"failed: {archived}: stdout: " in result.err
    assert "archived" in result.err
    assert f"failed: {ids[2]}: stderr: " in result.err
    assert "error: 2 logs could not be searched" in result.err


def test_a_record_that_cannot_be_read_is_said_where_it_matters(
    scene: Scene, ids: list[str]
) -> None:
    broken = make_id(datetime.now(UTC), 7)
    put_metadata(scene.s3, scene.bucket, broken, b"{")
    scene.put_file(broken, "logs/stdout.log", b"caf\n")
    assert scene.cli("grep", "caf", "-c").ok().lines == [f"{broken}:stdout:1", f"{ids[2]}:stderr:1"]
    result = scene.cli("grep", "caf", "-c", "--result", "error").expect(3)
    assert result.lines == [f"{ids[2]}:stderr:1"]
    assert f"failed: {broken}: metadata.json: " in result.err


def test_a_missing_bucket_is_named(scene: Scene) -> None:
    assert (
        "no such bucket" in scene.cli("--bucket", f"{scene.bucket}-gone", "grep", "x").expect(4).err
    )


def test_thousands_of_other_files_are_passed_by(scene: Scene, ids: list[str]) -> None:
    folder = f"executions/{ids[1]}/artifacts/custom"
    put_keys(scene.s3, scene.bucket, (f"{folder}/{number:05}" for number in range(2500)))
    assert len(scene.cli("grep", "-l", "(?i)error", "--until", "10h").ok().lines) == 1
    assert scene.recorder.count("ListObjectsV2") < 6


def test_a_large_log_is_read_in_pieces(scene: Scene) -> None:
    lines = [b"%07d\n" % number for number in range(400_000)]
    execution_id = scene.put_execution(files={"logs/stdout.log": b"".join(lines)})
    scene.put_execution(ago(minutes=1), {"logs/stdout.log": b"99999\n"})
    found = scene.cli("grep", "99999$", "--log", "stdout").ok().lines
    assert found[:4] == [
        f"{execution_id}:stdout:{number + 1}:{number:07}"
        for number in (99999, 199999, 299999, 399999)
    ]
    assert found[4].endswith(":stdout:1:99999")


def test_head_ends_it_quietly(scene: Scene, ids: list[str], cli_process: Processes) -> None:
    scene.put_execution(make_id(), {"logs/stdout.log": b"ERROR\n" * 500_000})
    process = cli_process.start("grep", "ERROR")
    assert process.stdout is not None
    with subprocess.Popen(["head", "-1"], stdin=process.stdout, stdout=subprocess.PIPE) as head:
        process.stdout.close()
        assert head.communicate()[0].endswith(b":stdout:1:ERROR\n")
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_terminal_gets_no_escape_sequences(
    ids: list[str], terminal: Callable[..., Terminal]
) -> None:
    screen = terminal("grep", "ERROR", "--suite", "smoke")
    assert screen.wait() == 0
    assert screen.output == f"{ids[1]}:stdout:2:an ERROR\r\n".encode()
