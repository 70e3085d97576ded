"""`orchestrator ls`: a time window whose cost follows the window, and one execution's files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from tests.support.commands.running import RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.commands.via import Via, via_environment
from tests.support.proxy import faults
from tests.support.proxy.faults import Fault
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import impatient
from tests.support.stored.executions import (
    make_id,
    make_record,
    put_execution,
    put_keys,
    put_metadata,
)
from tests.support.stored.objects import make_bucket, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
WINDOW = ("--since", "2026-01-15", "--until", "2026-01-16")


# --- a window in a long history --------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(s3: S3Client) -> Iterator[tuple[str, list[str]]]:
    """A bucket with three executions on a day, and more than a listing holds before and after."""
    bucket = make_bucket(s3)
    inside = [put_execution(s3, bucket, make_id(NOON, number)) for number in range(3)]
    before = [make_id(NOON - timedelta(days=2), number) for number in range(1001)]
    after = [make_id(NOON + timedelta(days=2), number) for number in range(501)]
    foreign = [f"foreign-{number}" for number in range(500)]
    put_keys(s3, bucket, [f"executions/{name}/x" for name in [*before, *after, *foreign]])
    yield bucket, inside
    remove_bucket(s3, bucket)


def test_requests_follow_the_window(scene: Scene, crowded: tuple[str, list[str]]) -> None:
    bucket, inside = crowded
    result = scene.cli("--bucket", bucket, "ls", "-0", *WINDOW).ok()
    assert result.stdout == b"".join(one.encode() + b"\0" for one in reversed(inside))
    assert result.err == ""
    assert scene.recorder.operations() == {"ListObjectsV2": 1, "GetObject": 3}


def test_an_empty_window_costs_one_request(scene: Scene, crowded: tuple[str, list[str]]) -> None:
    for window in (("--since", "2026-01-10", "--until", "2026-01-12"), ("--since", "1h")):
        scene.recorder.clear()
        result = scene.cli("--bucket", crowded[0], "ls", *window).ok()
        assert result.stdout == b""
        assert result.err == "no such executions in this time window; --since widens it\n"
        assert scene.recorder.operations() == {"ListObjectsV2": 1}


def test_an_open_window_ends_with_the_last_execution(
    crowded: tuple[str, list[str]], recorder: Proxy
) -> None:
    store = App(Settings(bucket=crowded[0])).store()
    found = list(list_execution_ids(store, NOON - timedelta(hours=1), None, NOON))
    assert len(found) == 3 + 501
    assert recorder.count("ListObjectsV2") == 1


def test_a_long_window_costs_a_request_a_thousand(
    crowded: tuple[str, list[str]], recorder: Proxy
) -> None:
    store = App(Settings(bucket=crowded[0])).store()
    assert len(list(list_execution_ids(store, None, NOON + timedelta(hours=1), NOON))) == 1001 + 3
    assert recorder.count("ListObjectsV2") == 2


# --- executions ------------------------------------------------------------------------------


def test_the_window_includes_its_ends(scene: Scene) -> None:
    tick = timedelta(milliseconds=1)
    times = [NOON - tick, NOON, NOON + tick, NOON + 2 * tick]
    # The smallest and the largest id of a millisecond.
    ids = [make_id(instant, number) for instant in times for number in (0, 2**80 - 1)]
    for one in ids:
        scene.put_execution(one)
    since, until = NOON.isoformat(), (NOON + tick).isoformat()
    result = scene.cli("ls", "-0", "--since", since, "--until", until).ok()
    assert result.out.split("\0") == [*reversed(ids[2:6]), ""]


def test_the_default_is_the_last_day(scene: Scene) -> None:
    now = datetime.now(UTC)
    ids = [make_id(now - timedelta(hours=hours)) for hours in (25, 23, 0)]
    for one in ids:
        scene.put_execution(one)
    newest_first = ids[::-1]
    assert scene.cli("ls", "-0").ok().out.split("\0") == [*newest_first[:2], ""]
    assert scene.cli("ls", "-0", "--since", "2d").ok().out.split("\0") == [*newest_first, ""]
    # It is about executions, whatever other commands take from the environment.
    env = {"ORCHESTRATOR_EXECUTION_ID": ids[0]}
    assert scene.cli("ls", "-0", env=env).ok().out.split("\0") == [*newest_first[:2], ""]
    # A few are looked for in a longer time.
    assert scene.cli("ls", "-0", "-n", "3").ok().out.split("\0") == [*newest_first, ""]
    assert scene.cli("ls", "-0", "-n", "9" * 30).ok().out.split("\0") == [*newest_first, ""]


@pytest.fixture
def finished(scene: Scene) -> list[str]:
    """A passed, a failed and a running execution, one after the other."""
    passed = scene.put_execution(
        make_id(NOON, 1),
        test_suite="smoke",
        status="completed",
        result="pass",
        artifact_status="complete",
        artifact_count=1234,
        artifact_bytes=1536,
        artifacts=[],
        bench_id="hil-07",
        runner_type="onprem",
        reservation_id="R1",
        labels={"branch": "main", "fw": "1.2"},
        ended_at="2026-01-31T09:02:03Z",
    )
    failed = scene.put_execution(
        make_id(NOON, 2),
        test_suite="nightly",
        status="completed",
        result="fail",
        artifact_status="artifact_error",
        started_at=None,
    )
    running = scene.put_execution(make_id(NOON, 3), test_suite="smoke")
    return [running, failed, passed]


def test_text_is_a_line_each(cli: RunCommand, finished: list[str]) -> None:
    result = cli("ls", *WINDOW).ok()
    assert result.err == ""
    assert [line.split() for line in result.lines] == [
        [finished[0], "2026-01-31", "08:00:00Z", "running", "pending", "-", "-", "smoke",
         "-", "-", "-"],
        [finished[1], "-", "fail", "artifact_error", "0", "0", "B", "nightly", "-", "-", "-"],
        [finished[2], "2026-01-31", "08:00:00Z", "pass", "complete", "1,234", "1.5", "KiB",
         "smoke", "1h", "02m", "hil-07", "branch=main,fw=1.2"],
    ]  # fmt: skip
    assert "\x1b" not in result.out


def test_a_limit_reads_no_more_than_it_shows(scene: Scene, crowded: tuple[str, list[str]]) -> None:
    bucket, inside = crowded
    result = scene.cli("--bucket", bucket, "ls", "-0", "-n", "2", *WINDOW).ok()
    assert result.out.split("\0") == [*inside[:0:-1], ""]
    assert scene.recorder.count("GetObject") == 2


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_is_shown_what_has_room(
    terminal: Callable[..., Terminal], finished: list[str], columns: int
) -> None:
    env = {"TZ": "Asia/Tokyo", "NO_COLOR": "1"}
    screen = terminal("ls", "--since", "2026-01-15", columns=columns, env=env)
    assert screen.wait() == 0
    output = screen.output.decode()
    lines = output.splitlines()
    assert max(map(len, lines)) <= columns
    assert ("hil-07" in output) == ("BENCH" in lines[0]) == (columns == 200)
    # 08:00 UTC.
    assert ("2026-01-31 17:00:00 " in output) == (columns >= 80)


def test_json_is_an_object_a_line_without_the_manifest(
    cli: RunCommand, finished: list[str]
) -> None:
    records = cli("ls", "--json", *WINDOW).ok().json_lines()
    assert [record["execution_id"] for record in records] == finished
    assert all("artifacts" not in record for record in records)
    expected = make_record(finished[0], test_suite="smoke") | {"liveness": None}
    del expected["artifacts"]
    assert records[0] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--result", "pass"], [2]),
        (["--result", "pass", "--result", "fail"], [1, 2]),
        (["--failed"], [1]),
        (["--failed", "--result", "pass"], [1, 2]),
        (["--label", "branch=main"], [2]),
        (["--label", "branch=main", "--label", "fw=1.3"], []),
        (["--bench", "hil-07"], [2]),
        (["--runner-type", "onprem"], [2]),
        (["--runner-type", "ec2"], []),
        (["--reservation", "R1"], [2]),
        (["--artifact-status", "pending", "--artifact-status", "complete"], [0, 2]),
        (["--suite", "smoke", "--suite", "nightly"], [0, 1, 2]),
        (["-n", "1"], [0]),
        (["-n", "1", "--failed"], [1]),
        (["--limit", "9"], [0, 1, 2]),
        (["--result", "fail"], [1]),
        (["--result", "error"], []),
        (["--suite", "smoke"], [0, 2]),
        (["--suite", "smoke", "--result", "pass"], [2]),
        (["--suite", "smok"], []),
    ],
)
def test_filters_choose_executions(
    cli: RunCommand, finished: list[str], options: list[str], expected: list[int]
) -> None:
    result = cli("ls", "-0", *WINDOW, *options).ok()
    assert result.out.split("\0") == [*(finished[one] for one in expected), ""]


def test_an_execution_that_cannot_be_read_is_a_warning(scene: Scene, finished: list[str]) -> None:
    broken, bare, archived = (make_id(NOON, number) for number in (10, 11, 12))
    put_metadata(scene.s3, scene.bucket, broken, b'{"labels": {"\\u001b[31m": 1}}')
    scene.put_file(bare, "logs/stdout.log", b"x")
    scene.s3.put_object(
        Bucket=scene.bucket,
        Key=f"executions/{archived}/metadata.json",
        Body=json.dumps(make_record(archived)).encode(),
        StorageClass="DEEP_ARCHIVE",
    )
    result = scene.cli("--quiet", "ls", *WINDOW).ok()
    assert [line[:26] for line in result.lines] == finished
    warnings = result.err.splitlines()
    assert [line[: len("warning: ") + 26] for line in warnings] == [
        f"warning: {one}" for one in (archived, bare, broken)
    ]
    assert "is not valid" in warnings[2]
    assert "\x1b" not in result.err
    assert "archived" in warnings[0]


@pytest.mark.parametrize(
    ("fault", "code"), [(faults.internal_error(), 9), (faults.access_denied(), 5)]
)
def test_a_list_that_is_not_whole_is_no_success(
    scene: Scene,
    via: Via,
    finished: list[str],
    fault: Fault,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    newest, reader = finished[0], via_environment(via.tokens.read)
    scene.recorder.inject(fault, "GetObject", key=newest, times=None)
    for options, env in ((("--json",), None), (("--json", *via.options), reader)):
        some = scene.cli("ls", *WINDOW, *options, env=env).expect(3)
        assert [one["execution_id"] for one in some.json_lines()] == finished[1:]
        assert f"warning: {newest}: " in some.err
        assert "error: 1 execution could not be read" in some.err
        # It may be the one that is meant.
        latest = ("show", "@latest:suite=nightly", *options)
        scene.cli(*latest, env=env).expect(code)
        unseen = scene.cli("ls", *WINDOW, "--suite", "none", *options, env=env).expect(code)
        assert "no such executions" not in unseen.err
    scene.recorder.inject(fault, "GetObject", times=None)
    nothing = scene.cli("ls", *WINDOW).expect(code)
    assert nothing.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "2026-01-16", "--until", "2026-01-15"], "--until is before --since"),
        (["--since", "tomorrow"], "is not a time"),
        (["--since", "99999999d"], "is too long"),
        (["--result", "maybe"], "is not one of"),
        (["--null", "--json"], "only one can be given"),
        (["--tree"], "--tree goes with ID"),
        (["@latest", "--since", "2d"], "go without ID"),
        (["@latest", "--suite", "x"], "go without ID"),
        (["@latest", "-n", "1"], "go without ID"),
        (["-n", "0"], "0 is not at least 1"),
        (["--label", "branch"], "is not KEY=VALUE"),
        (["--label", "a=1", "--label", "a=2"], "cannot have two values"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    scene: Scene, arguments: list[str], said: str
) -> None:
    result = scene.cli("ls", *arguments).expect(2)
    assert result.stdout == b""
    assert said in result.err


def test_a_missing_bucket_is_named(scene: Scene) -> None:
    for arguments in (["ls"], ["ls", make_id()]):
        result = scene.cli("--bucket", f"{scene.bucket}-gone", *arguments).expect(4)
        assert "no such bucket" in result.err


# --- files -----------------------------------------------------------------------------------

FILES = {
    "logs/stdout.log": b"x" * 1536,
    "artifacts/custom/a b \u00fc [red]%20+&?'\".txt": b"x",
    "artifacts/results.json": b"{}",
}


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_execution(files=FILES)


def test_files_are_listed_as_text(scene: Scene, execution: str) -> None:
    scene.put_file(execution, "logs/stderr.log", b"", StorageClass="DEEP_ARCHIVE")
    result = scene.cli("ls", execution).ok()
    assert result.err == ""
    cells = [line.split("\t") for line in result.lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", when) for _, when, _ in cells)
    assert [(size, name) for size, _, name in cells] == [
        ("1 B", "artifacts/custom/a b \u00fc [red]%20+&?'\".txt"),
        ("2 B", "artifacts/results.json"),
        ("0 B", "logs/stderr.log  [DEEP_ARCHIVE]"),
        ("1.5 KiB", "logs/stdout.log"),
    ]


def test_files_are_listed_as_json(scene: Scene, execution: str) -> None:
    records = scene.cli("ls", "--json", execution).ok().json_lines()
    assert [record["path"] for record in records] == sorted(FILES, key=str.encode)
    for record in records:
        head = scene.s3.head_object(Bucket=scene.bucket, Key=record["key"])
        assert record == {
            "path": record["path"],
            "key": f"executions/{execution}/{record['path']}",
            "size_bytes": len(FILES[record["path"]]),
            "last_modified": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "storage_class": "STANDARD",
            "etag": head["ETag"].strip('"'),
            "restore": None,
        }


def test_files_are_listed_with_nul_bytes_between(cli: RunCommand, execution: str) -> None:
    expected = [*sorted(name.encode() for name in FILES), b""]
    assert cli("ls", "-0", execution).ok().stdout.split(b"\0") == expected
    assert cli("ls", "--null", execution.lower()).ok().stdout.split(b"\0") == expected
    assert cli("ls", "-0", "@latest").ok().stdout.split(b"\0") == expected
    assert cli("ls", "-0", execution[:-1]).ok().stdout.split(b"\0") == expected


def test_an_execution_without_files_lists_nothing(scene: Scene) -> None:
    result = scene.cli("ls", scene.put_execution()).ok()
    assert (result.out, result.err) == ("", "the execution has no files yet\n")


def test_a_pattern_chooses_files(scene: Scene, execution: str) -> None:
    for pattern, path in (("stdout", "logs/stdout.log"), ("*.json", "artifacts/results.json")):
        assert scene.cli("ls", "-0", execution, pattern).ok().stdout == f"{path}\0".encode()
    below = scene.cli("ls", "-0", f"{execution}/logs/").ok()
    assert below.stdout == scene.cli("ls", "-0", execution, "logs/").ok().stdout
    assert scene.cli("logs", f"{execution}/stdout").ok().stdout == FILES["logs/stdout.log"]
    both = scene.cli("ls", execution, "logs/", "results.json").ok()
    assert [line.split("\t")[2] for line in both.lines] == [
        "artifacts/results.json", "logs/stdout.log",
    ]  # fmt: skip
    missing = scene.cli("ls", execution, "logs/", "nothing").expect(4)
    assert f"error: no such file in {execution}: nothing" in missing.err


def test_files_are_drawn_as_a_tree(scene: Scene) -> None:
    files = {"artifacts/custom/a/b.txt": b"x", "logs/runner.log": b"1"}
    execution_id = scene.put_execution(files=files)
    assert scene.cli("ls", "--tree", execution_id).ok().lines == [
        "artifacts/",
        "\u2514\u2500\u2500 custom/",
        "    \u2514\u2500\u2500 a/",
        "        \u2514\u2500\u2500 b.txt  1 B",
        "logs/",
        "\u2514\u2500\u2500 runner.log  1 B",
    ]


def test_files_of_a_missing_execution_are_an_error(scene: Scene) -> None:
    # One whose id begins the same has files.
    scene.put_execution(make_id(NOON, 1))
    missing = make_id(NOON, 2)
    result = scene.cli("ls", missing).expect(4)
    assert result.stdout == b""
    assert f"error: no such execution: {missing} in s3://{scene.bucket}" in result.err


def test_a_filter_in_the_config_file_is_a_text_or_a_list(
    cli: RunCommand, finished: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    for text, expected in (
        ('result = "pass"', finished[2:]),
        ('result = ["pass", "fail"]', finished[1:]),
    ):
        file.write_text(f"[ls]\n{text}\n")
        result = cli("--config", file, "ls", "-0", *WINDOW).ok()
        assert result.out.split("\0") == [*expected, ""]
