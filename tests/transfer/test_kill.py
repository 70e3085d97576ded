"""Killed and interrupted: what was stored is kept, and the same command goes on from there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from tests.support.commands.forkserver import Child, ForkServer
from tests.support.commands.running import Processes
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.commands.terminal import Terminal
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import PART as FULL_SIZE_PART
from tests.support.stored.engine import answered, content, key_of

pytestmark = pytest.mark.usefixtures("small_parts")

SIZE = 5 * PART + 9
DATA = content(SIZE)
PROMPT_SECONDS = 40  # a stalled request is given up after 60


def kill(child: Child) -> None:
    child.signal(signal.SIGKILL)
    child.wait(20)


def sent_parts(recorder: Proxy) -> list[int]:
    return sorted(one.part_number or 0 for one in recorder.calls("UploadPart"))


# --- SIGKILL -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "nth"),
    [
        ("head", 3),
        ("end", 1),  # all of a body was sent, and no part was stored
        ("end", 4),
        ("answer", 3),  # stored, and the client does not know
    ],
)
def test_a_killed_upload_is_resumed_from_another_directory(
    scene: Scene, moment: str, nth: int, forks: ForkServer
) -> None:
    execution = scene.new_execution()
    key = key_of("big.bin", execution)
    file = scene.write_tree({"big.bin": DATA}) / "big.bin"
    hold = faults.Hold(moment)
    scene.recorder.inject(hold, "UploadPart", nth=nth, times=None)
    child = forks.start("upload", execution, file)
    assert hold.reached.wait(30)
    scene.recorder.wait_for(lambda seen: answered(seen, "UploadPart") == nth - 1)
    kill(child)
    scene.recorder.heal()
    if moment == "head":
        hold.released.set()  # with the body unread, the proxy does not notice who is gone
    # What was sent and not read yet may still store a part.
    scene.recorder.outlast_clients()
    scene.recorder.settle()
    assert scene.list_keys(key) == []
    (upload_id,) = scene.unfinished_uploads()
    stored = {
        part["PartNumber"]
        for part in scene.s3.list_parts(Bucket=scene.bucket, Key=key, UploadId=upload_id).get(
            "Parts", []
        )
    }
    assert len(stored) >= nth - 1

    scene.recorder.clear()
    elsewhere = scene.directory / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(file, elsewhere)  # another inode, another time
    rerun = forks.run("upload", execution, "big.bin", "--json", cwd=elsewhere).ok()
    (line,) = rerun.json_lines()
    missing = {1, 2, 3, 4, 5, 6} - stored
    assert sent_parts(scene.recorder) == sorted(missing)
    assert line["sent_bytes"] == scene.recorder.request_bytes("UploadPart")
    assert line["sent_bytes"] + line["resumed_bytes"] == SIZE
    assert scene.contents(key) == {key: DATA}
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize(("moment", "outcome"), [("head", "created"), ("answer", "identical")])
def test_an_upload_killed_while_completing_sends_no_part_again(
    scene: Scene, moment: str, outcome: str, forks: ForkServer
) -> None:
    execution = scene.new_execution()
    file = scene.write_tree({"big.bin": content(PART + 9)}) / "big.bin"
    hold = faults.Hold(moment)
    scene.recorder.inject(hold, "CompleteMultipartUpload", times=None)
    child = forks.start("upload", execution, file)
    assert hold.reached.wait(30)
    kill(child)
    scene.recorder.heal()
    scene.recorder.clear()
    (line,) = scene.cli("upload", execution, file, "--json").ok().json_lines()
    assert line["outcome"] == outcome
    assert scene.recorder.count("UploadPart") == 0
    assert line["sent_bytes"] == 0
    key = key_of("big.bin", execution)
    assert scene.contents(key) == {key: content(PART + 9)}
    assert scene.unfinished_uploads() == {}


def test_a_killed_pipe_is_resumed(scene: Scene, forks: ForkServer) -> None:
    execution = scene.new_execution()
    key = key_of("stdout.log", execution)
    source = scene.directory / "source"
    source.write_bytes(DATA)
    arguments = ("upload", execution, "-", "--name", "logs/stdout.log", "--json")
    hold = faults.Hold("end")
    scene.recorder.inject(hold, "UploadPart", nth=4, times=None)
    with open(source, "rb") as pipe:
        child = forks.start(*arguments, stdin=pipe.fileno())
        assert hold.reached.wait(30)
        scene.recorder.wait_for(lambda seen: answered(seen, "UploadPart") == 3)
        kill(child)
    scene.recorder.heal()
    scene.recorder.outlast_clients()
    scene.recorder.settle()
    (upload_id,) = scene.unfinished_uploads()
    listed = scene.s3.list_parts(Bucket=scene.bucket, Key=key, UploadId=upload_id)["Parts"]
    stored = {part["PartNumber"] for part in listed}
    scene.recorder.clear()
    with open(source, "rb") as pipe:
        line = forks.run(*arguments, stdin=pipe.fileno()).ok().json()
    assert sent_parts(scene.recorder) == sorted({1, 2, 3, 4, 5, 6} - stored)
    assert line["resumed_bytes"] == sum(part["Size"] for part in listed)
    assert line["sent_bytes"] + line["resumed_bytes"] == SIZE
    assert scene.contents(key) == {key: DATA}


def test_a_killed_directory_goes_on_with_the_rest(scene: Scene, forks: ForkServer) -> None:
    files = {f"{number:03}.txt": content(1000 + number, number) for number in range(60)}
    execution = scene.new_execution()
    tree = scene.write_tree(files)
    hold = faults.Hold("end")
    scene.recorder.clear()
    # One object is stored without the client's knowledge, too.
    unknown = faults.Hold("answer")
    scene.recorder.inject(unknown, "PutObject", nth=25, key="custom/")
    scene.recorder.inject(hold, "PutObject", nth=26, times=None, key="custom/")
    child = forks.start("upload", execution, tree)
    assert hold.reached.wait(30)
    assert unknown.reached.wait(30)
    # The record says first that an upload has begun.
    scene.recorder.wait_for(lambda seen: answered(seen, "PutObject") == 1 + 24)
    kill(child)
    # What it had sent and the proxy had not read yet would pass once it is healed.
    scene.recorder.outlast_clients()
    scene.recorder.heal()
    prefix = f"executions/{execution}/artifacts/custom/"
    there = scene.contents(prefix)
    assert len(there) == 25
    finished = scene.cli("finish", execution, "--result", "pass").ok()
    assert "the upload of artifacts/custom/0" in finished.err
    assert "25 more are unfinished" in finished.err
    assert scene.record(execution)["artifact_status"] == "pending"
    scene.recorder.clear()
    # Named otherwise, they are the same files.
    scene.cli("upload", execution, *sorted(tree.iterdir())).ok()
    expected = {prefix + name: data for name, data in files.items()}
    assert scene.contents(prefix) == expected
    puts = [one for one in scene.recorder.calls("PutObject") if one.key.startswith(prefix)]
    assert {one.key: one.request_bytes for one in puts} == {
        key: len(data) for key, data in expected.items() if key not in there
    }
    record = scene.record(execution)
    assert (record["artifact_status"], record["unfinished_uploads"]) == ("complete", [])


# --- SIGINT and SIGTERM ------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "UploadPart", "HeadObject"])
def test_an_interrupted_upload_ends_at_once_and_says_how_to_go_on(
    scene: Scene, number: signal.Signals, operation: str, forks: ForkServer
) -> None:
    execution = scene.new_execution()
    tree = scene.write_tree({"a b.txt": "x", "big.bin": content(PART + 1)})
    # The record of how it ended is written quickly, but for where it is what stalls.
    key = "" if operation == "GetObject" else "/artifacts/"
    stall = scene.recorder.inject(faults.Stall(), operation, key=key, times=None)
    child = forks.start("upload", execution, tree, "--limit-rate", "1G")
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    child.signal(number)
    err = child.wait(PROMPT_SECONDS).expect(130).err
    command = f"orchestrator upload {execution} {shlex.quote(str(tree))} --limit-rate 1G"
    assert command in err
    assert "Traceback" not in err
    scene.recorder.heal()
    scene.cli(*shlex.split(command)[1:]).ok()
    prefix = f"executions/{execution}/artifacts/custom/"
    assert scene.contents(prefix) == {
        f"{prefix}a b.txt": b"x",
        f"{prefix}big.bin": content(PART + 1),
    }


# The signal comes while a request is under way, but to another thread than the main one, which
# waits for the answer and is not woken.
_SIGNAL_ELSEWHERE = """
import signal, sys, threading, time
from orchestrator_cli.cli import main as cli

def strike():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(600)

threading.Thread(target=strike, daemon=True).start()
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "UploadPart"])
def test_a_signal_that_another_thread_takes_is_heard(
    scene: Scene, operation: str, cli_process: Processes
) -> None:
    execution = scene.new_execution()
    tree = scene.write_tree({"a.txt": "x", "big.bin": bytes(FULL_SIZE_PART + 1)})
    # The record of how it ended is written quickly, but for where it is what stalls.
    key = "" if operation == "GetObject" else "/artifacts/"
    stall = scene.recorder.inject(faults.Stall(), operation, key=key, times=None)
    command = (sys.executable, "-c", _SIGNAL_ELSEWHERE)
    process = cli_process.start("upload", execution, tree, command=command, stdin=subprocess.PIPE)
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    _, err = process.communicate(b"now\n", timeout=PROMPT_SECONDS)
    assert process.returncode == 130, err
    assert b"interrupted" in err


def test_an_interrupted_pipe_is_kept_and_resumed(scene: Scene, forks: ForkServer) -> None:
    """While it waits for more to read."""
    execution = scene.new_execution()
    reading, writing = os.pipe()
    child = forks.start("upload", execution, "-", "--name", "stdout.log", stdin=reading)
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        for start in range(0, 2 * PART + 1000, PART):
            pipe.write(DATA[start : start + PART])
        scene.recorder.wait_for(lambda seen: answered(seen, "UploadPart") >= 1)
        child.signal(signal.SIGINT)
        err = child.wait(PROMPT_SECONDS).expect(130).err
    assert f"orchestrator upload {execution} - --name stdout.log" in err
    assert scene.list_keys(key_of("stdout.log", execution)) == []


def test_an_interrupted_download_leaves_no_partial_file_under_its_name(
    scene: Scene, forks: ForkServer
) -> None:
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"big.bin": DATA, "a.txt": "x"})).ok()
    target = scene.directory / "out"
    stall = scene.recorder.inject(faults.Stall(), "GetObject", key="big", nth=3, times=None)
    child = forks.start("download", execution, "-o", target)
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    child.signal(signal.SIGINT)
    err = child.wait(PROMPT_SECONDS).expect(130).err
    assert f"orchestrator download {execution}" in err
    assert not (target / "artifacts/custom/big.bin").exists()
    scene.recorder.heal()
    scene.cli("download", execution, "-o", target).ok()
    assert (target / "artifacts/custom/big.bin").read_bytes() == DATA


def test_records_of_an_interrupted_upload_are_whole(scene: Scene, forks: ForkServer) -> None:
    execution = scene.new_execution()
    tree = scene.write_tree({f"{number:02}.txt": "x" * number for number in range(50)})
    stall = scene.recorder.inject(faults.Stall(), "PutObject", key="49.txt", times=None)
    with open(scene.directory / "records", "wb") as records:
        child = forks.start("upload", execution, tree, "--json", stdout=records.fileno())
        scene.recorder.wait_for(lambda seen: stall.struck > 0 and answered(seen, "PutObject") >= 49)
        child.signal(signal.SIGINT)
        child.wait(PROMPT_SECONDS).expect(130)
    lines = (scene.directory / "records").read_text().splitlines()
    assert {json.loads(line)["outcome"] for line in lines} == {"created"}
    # The answers are there; whether the last ones were still told is a matter of moments.
    assert len(lines) > 0


def test_a_signal_ends_the_wait_for_the_next_attempt(scene: Scene, cli_process: Processes) -> None:
    execution = scene.new_execution()
    scene.recorder.inject(faults.slow_down(), "PutObject", times=None)
    process = cli_process.start("upload", execution, scene.write_tree({"a.txt": "x"}))
    scene.recorder.wait_for(lambda seen: answered(seen, "PutObject") >= 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PROMPT_SECONDS)
    assert process.returncode == 130, err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /proc")
def test_the_second_interruption_quits_whatever_the_first_waits_for(
    scene: Scene, cli_process: Processes
) -> None:
    """The first one's words go to a pipe that nobody empties; there it hangs."""
    execution = scene.new_execution()
    stall = scene.recorder.inject(faults.Stall(), "PutObject", key="/artifacts/", times=None)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\n" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    process = cli_process.start(
        "-q", "upload", execution, scene.write_tree({"a": "x"}), stderr=writing
    )
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    process.send_signal(signal.SIGINT)
    pause = threading.Event()
    for _ in range(1000):
        if not catches(process.pid, signal.SIGINT):
            break
        pause.wait(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PROMPT_SECONDS) == -signal.SIGINT
    os.close(reading)
    os.close(writing)


def catches(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a handler for a signal."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        (mask,) = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    return bool(int(mask, 16) & (1 << (number - 1)))


def test_ctrl_c_in_a_terminal_prints_the_command_that_resumes(
    scene: Scene, terminal: Callable[..., Terminal]
) -> None:
    execution = scene.new_execution()
    stall = scene.recorder.inject(faults.Stall(), "PutObject", key="/artifacts/", times=None)
    shown = terminal("upload", execution, scene.write_tree({"a.txt": "x"}), columns=400)
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    shown.read_until(rb"uploading: 0 files")
    shown.send(b"\x03")
    shown.read_until(rb"interrupted")
    assert shown.wait(PROMPT_SECONDS) == 130
    assert f"orchestrator upload {execution}".encode() in shown.output
    assert b"\x1b[?25h" in shown.output, "the cursor is hidden still"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_was_interrupted_is_on_record_until_it_is_stored(
    scene: Scene, number: int, forks: ForkServer
) -> None:
    """Who finishes the execution then must not find it complete."""
    execution = scene.new_execution()
    tree = scene.write_tree({"stdout.log": b"some lines"})
    stream = ("upload", execution, "-", "--name", "stdout.log")
    for line in (("upload", execution, tree), stream):
        hold = faults.Hold("end")
        scene.recorder.inject(hold, "PutObject", key="stdout.log$")
        with (tree / "stdout.log").open("rb") as pipe:
            child = forks.start(*line, stdin=pipe.fileno())
        assert hold.reached.wait(30)
        child.signal(number)
        child.wait(30).expect(130)
        scene.recorder.heal()
        record = scene.record(execution)
        assert record["artifact_status"] == "artifact_error"
        names = {one["path"] for one in record["failures"]}
        assert names <= {str(tree), "logs/stdout.log"}
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.record(execution)["artifact_status"] == "artifact_error"
    scene.cli("upload", execution, tree).ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])
