"""Uploading files and directories: what is sent, what is skipped, what is said."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.proxy import faults
from tests.support.proxy.faults import Fault
from tests.support.scene import Scene, write_tree
from tests.support.stored.engine import MIB, answered, content, impatient, key_of
from tests.support.stored.executions import make_id

FIELDS = {
    "source",
    "path",
    "key",
    "size_bytes",
    "outcome",
    "resumed_bytes",
    "sent_bytes",
    "checksum",
    "error",
    "exit_code",
    "retry_may_help",
}
ODD_NAMES = (
    "a b.txt",
    "100%.txt",
    "a%20b.txt",
    "[x]*?.txt",
    "quote'\"`.txt",
    "$HOME;#&|<>.txt",
    "back\\slash.txt",
    "smile-\N{GRINNING FACE}.txt",
    "e\N{COMBINING ACUTE ACCENT}.txt",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.txt",
    "-",
    "--json",
    "~",
    "+=@:,.txt",
    ".hidden",
    "trailing space ",
    "dir.with.dots/..almost/ok",
    "\N{CJK UNIFIED IDEOGRAPH-6F22}\N{CJK UNIFIED IDEOGRAPH-5B57}/\N{HEBREW LETTER ALEF}.log",
)


@pytest.fixture
def execution(scene: Scene) -> str:
    """An execution in a fresh bucket; what it took to make it is not in the record."""
    execution_id = scene.new_execution()
    scene.recorder.clear()
    return execution_id


# --- directories -------------------------------------------------------------------------


def test_a_directory_is_stored_once(scene: Scene, execution: str) -> None:
    files: dict[str, bytes | str] = {
        f"d{number % 7}/{number:03}.txt": content(number, number) for number in range(300)
    }
    tree = scene.write_tree(files)
    scene.cli("upload", execution, tree).ok()
    # The record is written before the first file and after the last.
    assert scene.recorder.count("PutObject") == 302
    assert scene.recorder.count() == 300 + 2 + len(["the record is read", "listed"])
    assert scene.files(execution) == {
        f"artifacts/custom/{name}": data for name, data in files.items()
    }

    scene.recorder.clear()
    again = scene.cli("upload", execution, tree, "--json").ok()
    assert scene.recorder.count("PutObject") == 0
    assert scene.recorder.request_bytes() == 0
    assert {line["outcome"] for line in again.json_lines()} == {"identical"}
    assert {line["sent_bytes"] for line in again.json_lines()} == {0}


def test_a_changed_file_is_a_conflict_and_the_rest_is_stored(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b"})
    scene.cli("upload", execution, tree).ok()
    scene.write_tree({"a.txt": "changed", "c.txt": "c"})
    result = scene.cli("upload", execution, tree, "--json").expect(6)
    assert scene.files(execution) == {
        "artifacts/custom/a.txt": b"a",
        "artifacts/custom/b.txt": b"b",
        "artifacts/custom/c.txt": b"c",
    }
    outcomes = {line["path"]: line for line in result.json_lines()}
    assert outcomes["artifacts/custom/a.txt"]["outcome"] == "conflict"
    assert outcomes["artifacts/custom/a.txt"]["exit_code"] == 6
    assert outcomes["artifacts/custom/b.txt"]["outcome"] == "identical"
    assert outcomes["artifacts/custom/c.txt"]["outcome"] == "created"
    assert "1 of 3 files could not be stored" in result.err
    assert "another name" in result.err
    assert "uploading the stored content again clears the failure" in result.err
    scene.write_tree({"a.txt": "a"})
    scene.cli("upload", execution, tree).ok()
    assert scene.record(execution)["failures"] == []


def test_hidden_files_are_left_out_and_that_is_said_once(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"a.txt": "a", ".env": "TOKEN=1", ".git/config": "", "b/.netrc": ""})
    (tree / "environment").symlink_to(".env")
    result = scene.cli("upload", execution, tree).ok()
    assert list(scene.files(execution)) == ["artifacts/custom/a.txt"]
    said = [line for line in result.err.splitlines() if "skipped" in line]
    assert len(said) == 1
    also = ".git, .netrc, 1 more"
    assert said[0].endswith(
        f"{tree / '.env'}: hidden, and so are {also}; --include-hidden stores what is"
    )
    assert scene.cli("verify", execution, tree).ok().err.count(".env") == 1

    scene.cli("upload", execution, tree, "--include-hidden").ok()
    assert scene.files(execution)["artifacts/custom/environment"] == b"TOKEN=1"
    scene.cli("verify", execution, tree, "--include-hidden").ok()


def test_odd_names_make_the_round_trip(scene: Scene, execution: str) -> None:
    files: dict[str, bytes | str] = {name: name.encode() for name in ODD_NAMES}
    tree = scene.write_tree(files)
    scene.cli("upload", execution, tree, "--include-hidden").ok()
    expected = {f"artifacts/custom/{name}": data for name, data in files.items()}
    assert scene.files(execution) == expected
    # Both kinds of HEAD and GET must escape as the PUT did.
    again = scene.cli("upload", execution, tree, "--json", "--include-hidden").ok()
    assert {line["outcome"] for line in again.json_lines()} == {"identical"}
    scene.cli("download", execution, "-o", scene.directory / "back").ok()
    back = scene.directory / "back/artifacts/custom"
    assert {name: (back / name).read_bytes() for name in ODD_NAMES} == files


def test_refused_names_are_listed_and_the_rest_is_stored(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"good.txt": "good", "new\nline.txt": "x", "esc\x1b[31m.txt": "x"})
    long = tree / Path(*("d" * 250 for _ in range(4)))
    long.mkdir(parents=True)
    (long / "f").write_bytes(b"x")
    not_utf8 = os.fsencode(tree) + b"/\xff.txt"
    with open(not_utf8, "wb"):
        pass
    result = scene.cli("upload", execution, tree, "--json").expect(3)
    assert scene.files(execution) == {"artifacts/custom/good.txt": b"good"}
    failed = [line for line in result.json_lines() if line["outcome"] == "failed"]
    assert len(failed) == 4
    assert {line["exit_code"] for line in failed} == {2}
    assert "control characters" in result.err
    assert "not UTF-8" in result.err
    assert "1,024 bytes" in result.err
    assert "\x1b" not in result.err + result.out
    assert "4 of 5 files could not be stored" in result.err


def test_special_files_and_links_that_lead_out_are_skipped_and_named(
    scene: Scene, execution: str
) -> None:
    tree = scene.write_tree({"in/real.txt": "real"})
    outside = scene.write_tree({"secret.txt": "secret"}, root="outside")
    os.mkfifo(tree / "fifo")
    (tree / "inside.txt").symlink_to("in/real.txt")
    (tree / "out.txt").symlink_to(outside / "secret.txt")
    (tree / "outdir").symlink_to(outside)
    (tree / "nowhere").symlink_to("nothing")
    (tree / "around").symlink_to(tree)
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tree)  # the path of a socket is short
        listener.bind("socket")
        os.chdir(scene.directory)
        result = scene.cli("upload", execution, tree, "--json").ok()
    assert scene.files(execution) == {
        "artifacts/custom/in/real.txt": b"real",
        "artifacts/custom/inside.txt": b"real",
    }
    skipped = {
        Path(line["source"]).name: line["error"]
        for line in result.json_lines()
        if line["outcome"] == "skipped"
    }
    assert skipped.keys() == {"fifo", "socket", "out.txt", "outdir", "nowhere", "around"}
    assert "leaves" in skipped["out.txt"]
    for name in skipped:
        assert f"/{name}:" in result.err


def test_files_that_go_away_after_the_walk_are_failures(scene: Scene, execution: str) -> None:
    """As unreadable as it gets, whoever runs the test: the files were planned and are gone."""
    tree = scene.write_tree({"a.txt": "a", "z/1.txt": "1", "z/2.txt": "2"})
    first = faults.Hold("head")
    scene.recorder.inject(first, "HeadObject", key=r"a\.txt$")

    def remove() -> None:
        first.reached.wait(30)
        shutil.rmtree(tree / "z")
        first.released.set()

    helper = threading.Thread(target=remove)
    helper.start()
    # With one thread, what is behind the held file waits to be opened.
    result = scene.cli("upload", execution, tree, "--concurrency", "1").expect(3)
    helper.join()
    assert scene.files(execution) == {"artifacts/custom/a.txt": b"a"}
    assert "cannot read" in result.err
    assert "2 of 3 files could not be stored" in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_fails_and_the_others_are_stored(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b"})
    (tree / "a.txt").chmod(0)
    result = scene.cli("upload", execution, tree).expect(3)
    assert scene.files(execution) == {"artifacts/custom/b.txt": b"b"}
    assert "Permission denied" in result.err


# --- choosing ----------------------------------------------------------------------------


def test_include_and_exclude_choose_files(scene: Scene, execution: str) -> None:
    tree = scene.write_tree(
        dict.fromkeys(("a.txt", "a.tmp", "d/b.txt", "d/c.log", "d/e/f.txt"), "x")
    )
    done = scene.cli(
        "upload", execution, tree, "--include", "*.txt", "--exclude", "d/e/*", "--exclude", "g"
    )
    assert "warning: nothing matches g\n" in done.ok().err
    assert "nothing matches d/e" not in done.err
    assert scene.files(execution).keys() == {
        "artifacts/custom/a.txt",
        "artifacts/custom/d/b.txt",
    }


def test_a_dry_run_says_what_the_upload_would_do(scene: Scene, execution: str) -> None:
    """Also for a conflict, a file of parts, an unreadable name, and nothing at all."""
    big = b"x" * (8 * 1024 * 1024 + 1)
    tree = scene.write_tree(
        {"stdout.log": "x", "shot.png": "x", "big.bin": b"x" * 3000, "old.bin": big}
    )
    scene.cli("upload", execution, tree / "old.bin").ok()
    before = scene.list_keys()
    scene.recorder.clear()
    plain = scene.cli("upload", execution, tree, "--dry-run").ok()
    as_json = scene.cli("upload", execution, tree, "--dry-run", "--json").ok()
    prefix = f"executions/{execution}/"
    assert sorted(plain.lines) == [
        f"{tree}/big.bin -> {prefix}artifacts/custom/big.bin",
        f"{tree}/old.bin -> {prefix}artifacts/custom/old.bin (identical)",
        f"{tree}/shot.png -> {prefix}artifacts/screenshots/shot.png",
        f"{tree}/stdout.log -> {prefix}logs/stdout.log",
    ]
    assert "would upload" in plain.err
    line = next(one for one in as_json.json_lines() if one["path"].endswith("big.bin"))
    assert (line["outcome"], line["size_bytes"], line["exit_code"]) == ("created", 3000, 0)
    assert (line["sent_bytes"], line["content_type"]) == (0, "application/octet-stream")

    (tree / "old.bin").write_bytes(big[:-1] + b"y")
    conflict = scene.cli("upload", execution, tree, "--dry-run").expect(6)
    assert "would not be stored" in conflict.err
    assert "run the same command again" not in conflict.err
    (tree / os.fsdecode(b"\xff")).write_text("x")
    assert "not UTF-8" in scene.cli("upload", execution, tree, "--dry-run").expect(3).err
    (line,) = (
        scene.cli("upload", execution, tree / "nope", "--dry-run", "--json").expect(4).json_lines()
    )
    assert (line["outcome"], line["exit_code"]) == ("failed", 4)
    scene.cli("upload", execution, tree, "--dry-run", "--include", "nothing").expect(4)
    scene.cli("upload", make_id(), tree, "--dry-run").expect(4)
    assert not [call for call in scene.recorder.calls() if call.request.method in ("PUT", "POST")]
    assert scene.list_keys() == before


def test_both_streams_keep_their_order_in_one_pipe(
    cli_process: Processes, execution: str, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "tree", {"a.txt": "a", "b\n.txt": "b"})
    upload = ("upload", execution, tree, "--dry-run")
    process = cli_process.start(*upload, stderr=subprocess.STDOUT)
    out, _ = process.communicate(timeout=60)
    listed, failed, error, _ = out.decode().splitlines()
    assert " -> " in listed
    assert failed.startswith("failed: ")
    assert error.startswith("error: ")


def test_no_files_are_an_error_a_warning_or_nothing_as_asked(scene: Scene, execution: str) -> None:
    empty = scene.directory / "empty"
    empty.mkdir()
    assert "no files found" in scene.cli("upload", execution, empty).expect(4).err
    warned = scene.cli("upload", execution, empty, "--if-no-files-found", "warn").ok()
    assert "no files found" in warned.err
    assert scene.cli("upload", execution, empty, "--if-no-files-found", "ignore").ok().err == ""


def test_a_single_file_can_be_stored_under_another_name(scene: Scene, execution: str) -> None:
    file = scene.write_tree({"out.bin": "x"}) / "out.bin"
    scene.cli("upload", execution, file, "--name", "logs/stdout.log").ok()
    assert scene.files(execution) == {"logs/stdout.log": b"x"}


# --- what is said ------------------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
def test_json_has_the_documented_fields(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"a.txt": "abc", "big.bin": content(PART + 1)})
    by_name = {Path(x["source"]).name: x for x in upload_json(scene.cli, execution, tree)}
    assert by_name["a.txt"].keys() == FIELDS
    assert by_name["a.txt"] == {
        "source": f"{tree}/a.txt",
        "path": "artifacts/custom/a.txt",
        "key": key_of("a.txt", execution),
        "size_bytes": 3,
        "outcome": "created",
        "resumed_bytes": 0,
        "sent_bytes": 3,
        "checksum": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "error": None,
        "exit_code": 0,
        "retry_may_help": False,
    }
    assert by_name["big.bin"]["sent_bytes"] == PART + 1
    assert by_name["big.bin"]["resumed_bytes"] == 0
    assert by_name["big.bin"]["checksum"].endswith("-2")
    again = upload_json(scene.cli, execution, tree)
    assert {line["outcome"] for line in again} == {"identical"}
    assert {line["sent_bytes"] for line in again} == {0}


def upload_json(cli: RunCommand, execution: str, tree: Path) -> list[Any]:
    return cli("upload", execution, tree, "--json").ok().json_lines()


@pytest.mark.usefixtures("small_parts")
def test_content_types_let_a_browser_show_things(scene: Scene, execution: str) -> None:
    expected = {
        "logs/stdout.log": "text/plain; charset=utf-8",
        "artifacts/results.json": "application/json",
        "artifacts/screenshots/x.png": "image/png",
        "artifacts/custom/report.html": "text/html; charset=utf-8",
        "artifacts/custom/unknown": "application/octet-stream",
        "artifacts/custom/log.txt.gz": "application/gzip",
        "artifacts/traces/big.pcap": "application/vnd.tcpdump.pcap",
    }
    small: dict[str, bytes | str] = {Path(path).name: "x" for path in expected}
    tree = scene.write_tree(small | {"big.pcap": content(PART + 1)})
    scene.cli("upload", execution, tree).ok()
    found = {
        path: scene.s3.head_object(Bucket=scene.bucket, Key=f"executions/{execution}/{path}")[
            "ContentType"
        ]
        for path in expected
    }
    assert found == expected


def test_nobody_reading_the_records_does_not_stop_the_upload(
    scene: Scene, cli_process: Processes, execution: str
) -> None:
    tree = scene.write_tree({f"{number:03}.txt": "x" * number for number in range(100)})
    reading, writing = os.pipe()
    os.close(reading)
    process = cli_process.start("upload", execution, tree, "--json", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(scene.files(execution)) == 100


def test_a_path_that_is_missing_is_no_mark_on_the_execution(scene: Scene, execution: str) -> None:
    tree = scene.write_tree({"a.txt": "x"})
    failed = scene.cli("upload", execution, tree / "reslts").expect(4)
    assert f"failed: {tree / 'reslts'}: no such file\n" in failed.err
    assert (
        scene.cli("upload", execution, tree, tree / "reslts").expect(3).err.count("no such file")
        == 1
    )
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("pending", [])
    assert scene.files(execution) == {"artifacts/custom/a.txt": b"x"}
    warned = scene.cli("upload", execution, tree / "none", "--if-no-files-found", "warn").ok()
    assert f"skipped {tree / 'none'}: no such file" in warned.err
    quiet = scene.cli("upload", execution, tree / "none", "--if-no-files-found", "ignore").ok()
    assert quiet.err == ""


def test_an_upload_that_ends_early_is_on_record_until_it_is_repeated(
    scene: Scene, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    tree = scene.write_tree({f"{number}.txt": "x" for number in range(5)})
    scene.recorder.inject(
        faults.Answer(404, "NoSuchBucket"), "PutObject", key=r"custom/3", times=None
    )
    scene.cli("upload", execution, tree).expect(4)
    scene.recorder.heal()
    scene.cli("finish", execution, "--result", "pass").ok()
    record = scene.record(execution)
    assert record["artifact_status"] == "artifact_error"
    # By where they go: the same files under another name clear it.
    failing = {one["path"] for one in record["failures"]}
    assert "artifacts/custom/3.txt" in failing
    assert failing | set(scene.files(execution)) == {
        f"artifacts/custom/{number}.txt" for number in range(5)
    }
    monkeypatch.chdir(tree)
    scene.cli("upload", execution, ".").ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])
    assert len(scene.files(execution)) == 5


# --- failures of the whole ---------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("fault", "operation", "failing"),
    [
        (faults.access_denied, "CreateMultipartUpload", "big.bin"),
        (faults.slow_down, "PutObject", "a.txt"),
        (faults.error_in_200, "CompleteMultipartUpload", "big.bin"),
    ],
)
def test_a_lasting_failure_of_one_file_is_its_own_and_a_rerun_clears_it(
    scene: Scene,
    fault: Callable[[], Fault],
    operation: str,
    failing: str,
    execution: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    files = {"a.txt": b"x", "big.bin": content(PART + 1), "last.txt": b"z"}
    tree = scene.write_tree(files)
    # Not metadata.json: without it, nobody knows of the execution.
    scene.recorder.inject(fault(), operation, key=rf"custom/{failing}", times=None)
    failed = scene.cli("upload", execution, tree, "--json").expect(3)
    outcomes = {Path(one["source"]).name: one["outcome"] for one in failed.json_lines()}
    assert outcomes == dict.fromkeys(files, "created") | {failing: "failed"}
    others = {f"artifacts/custom/{name}": data for name, data in files.items() if name != failing}
    assert scene.files(execution) == others
    record = scene.record(execution)
    assert record["artifact_status"] == "artifact_error"
    assert [one["path"] for one in record["failures"]] == [f"artifacts/custom/{failing}"]
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.record(execution)["artifact_status"] == "artifact_error"
    scene.recorder.heal()
    scene.cli("upload", execution, tree).ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])
    assert len(scene.files(execution)) == len(files)


@pytest.mark.parametrize(
    ("fault", "code"), [(faults.access_denied, 5), (faults.slow_down, 9), (faults.ResetBefore, 9)]
)
def test_where_nothing_could_be_stored_the_exit_code_says_why(
    scene: Scene,
    fault: Callable[[], Fault],
    code: int,
    execution: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    scene.recorder.inject(fault(), "PutObject", key=r"custom/", times=None)
    failed = scene.cli("upload", execution, scene.write_tree({"a.txt": "x", "b.txt": "y"})).expect(
        code
    )
    assert "2 of 2 files could not be stored" in failed.err


def test_an_endpoint_that_is_gone_is_exit_9_with_the_command_to_repeat(
    scene: Scene, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    tree = scene.write_tree({"a.txt": "x"})
    result = scene.cli("upload", execution, tree, env={"AWS_ENDPOINT_URL": url}).expect(9)
    assert "connection refused" in result.err
    assert f"orchestrator upload {execution} {tree}" in result.err


def test_a_missing_execution_is_exit_4(scene: Scene) -> None:
    tree = scene.write_tree({"a.txt": "x"})
    result = scene.cli("upload", "01J00000000000000000000000", tree).expect(4)
    assert "no such execution" in result.err


@pytest.mark.usefixtures("small_parts")
def test_large_files_are_looked_up_while_the_record_is_read_and_nothing_else_is_done(
    scene: Scene, forks: ForkServer
) -> None:
    execution = "01J00000000000000000000000"
    tree = scene.write_tree({"a.txt": "x", "c.bin": content(2 * PART)})
    reading = faults.Hold("answer")
    scene.recorder.inject(reading, "GetObject", key="metadata")
    child = forks.start("upload", execution, tree)
    assert reading.reached.wait(30)
    looks = {"HeadObject", "ListMultipartUploads"}
    scene.recorder.wait_for(lambda seen: looks <= {one.operation for one in seen if one.status})
    reading.released.set()
    child.wait(20).expect(4)
    assert scene.recorder.operations().keys() == {"GetObject", *looks}


def test_files_are_listed_while_the_record_is_read_and_hashed_while_the_mark_is_written(
    scene: Scene, execution: str, forks: ForkServer
) -> None:
    tree = scene.write_tree({f"{number:02}.txt": str(number) for number in range(40)})
    reading, marking = faults.Hold("answer"), faults.Hold("answer")
    scene.recorder.inject(reading, "GetObject", key="metadata")
    scene.recorder.inject(marking, "PutObject", key="metadata")
    child = forks.start("upload", execution, tree)
    assert reading.reached.wait(30)
    scene.recorder.wait_for(
        lambda seen: "ListObjectsV2" in {one.operation for one in seen if one.status}
    )
    reading.released.set()
    assert marking.reached.wait(30)
    # Nothing is stored before it is known that the record says so.
    assert scene.recorder.operations()["PutObject"] == 1
    marking.released.set()
    child.wait(60).ok()
    assert scene.recorder.operations() == {"GetObject": 1, "ListObjectsV2": 1, "PutObject": 42}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("stalling", ["PutObject", "UploadPart"])
def test_what_concerns_all_files_ends_the_process_while_other_requests_stall(
    scene: Scene, stalling: str, forks: ForkServer, execution: str
) -> None:
    """Threads that wait for an answer, or for a place in the queue, must not keep it alive."""
    tree = scene.write_tree({"a.txt": "x", "b.txt": "y", "c.bin": content(5 * PART)})
    stall = scene.recorder.inject(faults.Stall(), stalling, key=r"a\.txt|c\.bin", times=None)
    refusal = faults.Hold("head")
    scene.recorder.inject(refusal, "PutObject", key=r"b\.txt")
    scene.recorder.inject(faults.Answer(404, "NoSuchBucket"), "PutObject", key=r"b\.txt")
    # Two threads: one part, or a.txt, stalls; the other parts wait for their turn.
    child = forks.start("upload", execution, tree, "--concurrency", "2")
    assert refusal.reached.wait(30)
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    refusal.released.set()
    result = child.wait(20).expect(4)  # a stalled request alone is given up after 60 s
    assert "no such bucket" in result.err


# --- the rate limit ----------------------------------------------------------------------


@pytest.mark.parametrize(("size", "names"), [(250_000, "abcdef"), (10 * MIB, "x")])
def test_limit_rate_limits(scene: Scene, size: int, names: str, execution: str) -> None:
    total = size * len(names)
    tree = scene.write_tree({f"{name}.bin": content(size) for name in names})
    rate = total // 2
    start = time.monotonic()
    scene.cli("upload", execution, tree, "--limit-rate", str(rate)).ok()
    seconds = time.monotonic() - start
    # Two seconds but for the first slice of a tenth; never faster, whatever else slows it down.
    assert seconds > 1.7
    assert sum(map(len, scene.files(execution).values())) == total


# --- in a terminal and in a pipe ---------------------------------------------------------


def test_progress_in_a_pipe_has_no_carriage_returns(scene: Scene, execution: str) -> None:
    result = scene.cli("-v", "upload", execution, scene.write_tree({"a.txt": "x"})).ok()
    assert "\r" not in result.err + result.out
    assert "created: artifacts/custom/a.txt" in result.err
    assert result.out == ""
    quiet = scene.cli("-q", "upload", execution, scene.write_tree({"a.txt": "x"})).ok()
    assert quiet.err == quiet.out == ""


def test_a_retry_is_told_with_verbose(
    scene: Scene, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    scene.recorder.inject(faults.slow_down(), "PutObject")
    result = scene.cli("-v", "upload", execution, scene.write_tree({"a.txt": "x"})).ok()
    assert "retrying" in result.err
    assert "SlowDown" in result.err
    assert answered(scene.recorder.calls(), "PutObject") == 4


def test_records_are_json_whatever_happens(
    scene: Scene, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    tree = scene.write_tree({f"{number}.txt": "x" * number for number in range(20)})
    scene.recorder.inject(faults.access_denied(), "PutObject", key=r"custom/[5-9]", times=None)
    result = scene.cli("upload", execution, tree, "--json", "--concurrency", "1").expect(3)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(line["outcome"] for line in lines) == ["created"] * 15 + ["failed"] * 5


def test_an_empty_path_is_no_directory(scene: Scene) -> None:
    execution = scene.new_execution()
    Path("stray.txt").write_text("x")
    result = scene.cli("upload", execution, "")
    assert result.exit_code == 2
    assert result.stdout == b""
    assert b"empty PATH" in result.stderr
    assert (
        b"empty --name"
        in scene.cli("upload", execution, "stray.txt", "--name", "").expect(2).stderr
    )
    assert list(scene.contents()) == [f"executions/{execution}/metadata.json"]


def test_more_failures_than_the_record_can_hold(scene: Scene) -> None:
    """They would make metadata.json so large that the archive rule took it."""
    execution = scene.new_execution()
    tree = scene.write_tree(
        {f"{number:04}-{'x' * 100}\x01": "" for number in range(1000)} | {"a": "a"}
    )
    result = scene.cli("upload", execution, tree).expect(3)
    assert "1,000 of 1,001 files could not be stored" in result.err
    head = scene.s3.head_object(Bucket=scene.bucket, Key=f"executions/{execution}/metadata.json")
    assert head["ContentLength"] < 128 * 1024
    record = scene.cli("show", execution, "--json").ok().json()
    assert record["artifact_status"] == "artifact_error"
    assert 100 < len(record["failures"]) < 1000


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="there is no /proc")
def test_a_file_that_tells_no_size_is_not_stored_empty(scene: Scene) -> None:
    execution = scene.new_execution()
    result = scene.cli("upload", execution, "/proc/version").expect(7)
    assert b"has content but tells no size" in result.stderr
    assert scene.files(execution) == {}


def test_a_file_that_fails_is_named_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    execution_id = scene.new_execution()
    path = "artifacts/custom/foo/bar.txt"
    scene.put_file(execution_id, path, b"other")
    monkeypatch.chdir(scene.write_tree({"odd/tab\t.txt": "x", path: "x"}))
    odd = scene.cli("upload", execution_id, "odd").expect(2)
    assert odd.err.startswith(
        "failed: odd/tab\\t.txt: cannot be stored: the name has control characters\n"
    )
    whole = scene.cli("upload", execution_id, ".").expect(3)
    conflict = "the key holds other content; nothing was changed"
    assert f"failed: {path}: {conflict}\n" in whole.err
    assert {"path": path, "error": conflict} in scene.record(execution_id)["failures"]
