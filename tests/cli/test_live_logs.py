"""`orchestrator logs` of a test that still runs: what there is, and what comes with `-f`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.serving import Serve
from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import access_denied
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.executions import make_id
from tests.support.stored.live import LogWriter, inject_later_date

WAIT = 30


@pytest.fixture
def out(scene: Scene) -> LogWriter:
    """Standard output of an execution that runs."""
    return LogWriter(scene.s3, scene.bucket, scene.put_execution())


@pytest.fixture
def err(scene: Scene, out: LogWriter) -> LogWriter:
    """Standard error of the same."""
    return LogWriter(scene.s3, scene.bucket, out.execution_id, "stderr.log")


def test_running_log_is_shown_as_far_as_it_is_there(
    cli: RunCommand, out: LogWriter, err: LogWriter
) -> None:
    out.write(b"\x1b[32mone\x1b[0m\ntw", b"o\nthr", b"ee\nfo")
    err.write(b"bad\n")
    out.beat(err)
    note = f"{out.execution_id} is still running; this is what is stored of it so far\n"
    for options, shown in {
        (): out.written,
        ("stdout.log",): out.written,
        ("stderr",): b"bad\n",
        ("stdout", "-n", "2"): b"three\nfo",
        ("stdout", "-n", "1", "-N"): b"4:fo\n",
        ("stdout", "--strip-ansi", "--grep", "^o|h", "-N"): b"1:one\n3:three\n",
        ("--all-logs", "--strip-ansi"): (
            b"stdout | one\nstdout | two\nstdout | three\nstdout | fo\nstderr | bad\n"
        ),
    }.items():
        result = cli("logs", out.execution_id, *options).ok()
        assert (result.stdout, result.err) == (shown, note)
    assert "no such log" in cli("logs", out.execution_id, "bench").expect(4).err
    out.store(b"stored\n")
    stored = cli("logs", out.execution_id, "stdout").ok()
    assert (stored.out, stored.err) == ("stored\n", "")


def test_lost_writer_is_said(scene: Scene, out: LogWriter) -> None:
    out.write(b"one\n")
    out.beat()
    date = inject_later_date(scene.recorder, 100)
    silent = scene.cli("logs", out.execution_id).ok()
    assert silent.stdout == b"one\n"
    assert "has shown no sign of life for 10" in silent.err
    date.seconds = 400
    assert (
        "is lost: it has shown no sign of life for 40"
        in scene.cli("logs", out.execution_id).ok().err
    )


def test_all_logs_are_followed_to_their_ends(scene: Scene, out: LogWriter, err: LogWriter) -> None:
    out.write("größe\nhal".encode())
    err.write(b"bad\n", b"worse\n", b"")
    out.beat(err)
    # A role that may only read is enough.
    scene.recorder.inject(access_denied(), "PutObject", times=None)

    def end() -> None:
        scene.recorder.wait_for(lambda seen: any(one.operation == "HeadObject" for one in seen))
        out.write(b"f a line\n", b"last", b"")
        out.store(out.written + b" word")
        err.store()

    ending = threading.Thread(target=end)
    ending.start()
    result = scene.cli("logs", "-f", out.execution_id, "--all-logs").ok()
    ending.join(WAIT)
    lines = result.out.splitlines()
    assert [line for line in lines if line.startswith("stdout | ")] == [
        "stdout | größe",
        "stdout | half a line",
        "stdout | last word",
    ]
    assert [line for line in lines if "stderr" in line] == ["stderr | bad", "stderr | worse"]
    assert len(lines) == 5
    assert result.err == ""
    assert scene.recorder.count("PutObject") == 0


def test_followed_log_is_filtered_and_numbered(scene: Scene, out: LogWriter) -> None:
    out.write(b"ERROR 1\nfine\n", b"ERROR 2\nfine\n", b"ER")
    out.beat()

    def end() -> None:
        seen = 3
        scene.recorder.wait_for(
            lambda made: sum(one.operation == "GetObject" for one in made) > seen
        )
        out.write(b"ROR 3\n", b"")
        out.store()

    ending = threading.Thread(target=end)
    ending.start()
    options = ("-n", "3", "-N", "--grep", "ERROR")
    result = scene.cli("logs", "-f", out.execution_id, "stdout", *options).ok()
    ending.join(WAIT)
    assert result.out == "3:ERROR 2\n5:ERROR 3\n"


def test_writer_that_is_gone_ends_it_with_3(scene: Scene, out: LogWriter) -> None:
    out.write(b"one\ntw")
    out.beat()
    inject_later_date(scene.recorder, 400)
    result = scene.cli("logs", "-f", out.execution_id, "--gone-after", "1s").expect(3)
    assert result.stdout == b"one\ntw"
    told = result.err.splitlines()
    assert told[0].startswith("error: stdout.log ends at byte 6 for now: its writer has shown no")
    assert f"`orchestrator salvage {out.execution_id}`" in told[1]


def test_following_what_has_ended_or_is_not_there(scene: Scene) -> None:
    ended = scene.put_execution(
        files={"logs/stdout.log": b"one\ntwo\n"}, status="completed", result="pass"
    )
    assert scene.cli("logs", "-f", ended, "-n", "1").ok().stdout == b"two\n"
    assert not any(call.key.startswith("live/") for call in scene.recorder.calls())
    assert "no such log" in scene.cli("logs", "-f", ended, "stderr").expect(4).err
    assert "no such log" in scene.cli("logs", "-f", ended, "nothing").expect(4).err
    old = make_id().replace("0", "1", 1)
    for name in ((), ("stdout",)):
        assert "no such execution" in scene.cli("logs", "-f", f"00{old[2:]}", *name).expect(4).err
    assert "--follow" in scene.cli("logs", ended, "--gone-after", "9s").expect(2).err


def test_interrupted_follower_ends_with_130(
    cli_process: Processes, out: LogWriter, recorder: Proxy
) -> None:
    out.write(b"one\n")
    out.beat()
    process = cli_process.start("logs", "-f", out.execution_id)
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT) == 130


def test_lost_execution_is_told_from_one_that_runs(scene: Scene, serve: Serve) -> None:
    ids = [make_id(number=number) for number in range(5)]
    finished, lost, never_live, damaged, other = ids
    for execution_id in (lost, never_live, damaged):
        scene.put_execution(execution_id)
    scene.put_execution(finished, status="completed", result="pass")
    scene.put_execution(other, test_suite="other")
    for execution_id in (finished, lost, other):
        LogWriter(scene.s3, scene.bucket, execution_id).beat()
    scene.s3.put_object(Bucket=scene.bucket, Key=f"live/{damaged}/state.json", Body=b"{}")
    date = inject_later_date(scene.recorder, 400)
    expected = dict.fromkeys(ids) | {lost: "lost", other: "lost"}
    server = serve()
    for seconds, word, shown in (
        (400, "lost", "lost"),
        (100, "silent", "running"),
        (0, "alive", "running"),
    ):
        date.seconds = seconds
        expected |= {lost: word, other: word}
        listed = scene.cli("ls", "--json").ok().json_lines()
        assert {one["execution_id"]: one["liveness"] for one in listed} == expected
        assert list(listed[0])[list(listed[0]).index("status") + 1] == "liveness"
        rows = {line.split()[0]: line.split()[3] for line in scene.cli("ls").ok().lines}
        assert rows == dict.fromkeys(ids, "running") | {finished: "pass", lost: shown, other: shown}
        assert scene.cli("show", lost, "--json").ok().json()["liveness"] == word
        assert f"liveness\t{word}" in scene.cli("show", lost).ok().lines
        page = server.get("/executions").json()["executions"]
        assert {one["execution_id"]: one["liveness"] for one in page} == expected
        assert server.get(f"/executions/{lost}").json()["liveness"] == word
    assert not any(line.startswith("liveness") for line in scene.cli("show", finished).ok().lines)
    scene.recorder.clear()
    scene.cli("ls", "--suite", "other").ok()
    looked_at = [call.key for call in scene.recorder.calls() if call.key.startswith("live/")]
    assert looked_at == [f"live/{other}/state.json"]


def test_terminal_is_told_no_size_of_a_log_that_grows(
    out: LogWriter, err: LogWriter, terminal: Callable[..., Terminal]
) -> None:
    out.write(b"one\n")
    out.beat(err)
    err.write(b"bad\n")
    screen = terminal("logs", out.execution_id, "--tail", "1")
    assert screen.wait() == 0
    assert b"this is stdout; there is also stderr\r\n" in screen.output


def test_last_segment_is_a_sign_of_life_to_all_who_look(scene: Scene, out: LogWriter) -> None:
    out.write(b"one\n")
    out.beat()
    out.write(b"two\n")
    inject_later_date(scene.recorder, 400, "state.json")
    inject_later_date(scene.recorder, 100, "logs/")
    lost = scene.cli("logs", "-f", out.execution_id, "--gone-after", "1s").expect(3)
    assert "has shown no sign of life for 10" in lost.err
    assert "has shown no sign of life for 10" in scene.cli("logs", out.execution_id).ok().err
    assert "was there 10" in scene.cli("salvage", out.execution_id).expect(6).err
