"""Standard input that is live while it is read: `upload ID - --live`."""

from __future__ import annotations

import os
import signal
import subprocess

from orchestrator_cli.core.executions.keys import live_prefix
from orchestrator_cli.core.live.stream import WaitingBytes
from tests.live.writing import stored_log
from tests.runner.test_run import wait_for
from tests.support.commands.running import Processes, RunCommand
from tests.support.scene import Scene


def feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def start(
    cli: RunCommand, cli_process: Processes, name: str = "stdout.log"
) -> tuple[subprocess.Popen[bytes], str]:
    execution_id = cli("new").ok().out.strip()
    process = cli_process.start(
        "upload", execution_id, "-", "--name", name, "--live", stdin=subprocess.PIPE
    )
    return process, execution_id


def test_pipe_is_live_while_it_is_read_and_ends_before_the_final_log(
    scene: Scene, cli_process: Processes
) -> None:
    process, execution_id = start(scene.cli, cli_process)
    feed(process, b"one\n")
    wait_for(lambda: stored_log(scene.s3, scene.bucket, execution_id=execution_id).data == b"one\n")
    feed(process, b"two\nend")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait() == 0
    stored = stored_log(scene.s3, scene.bucket, execution_id=execution_id)
    assert (stored.data, stored.ended) == (b"one\ntwo\nend", True)
    key = f"executions/{execution_id}/logs/stdout.log"
    assert scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read() == b"one\ntwo\nend"
    keys = [call.key for call in scene.recorder.calls("PutObject")]
    assert keys.index(key) > max(i for i, one in enumerate(keys) if one.startswith("live/"))


def test_pipe_that_is_interrupted_has_no_end(scene: Scene, cli_process: Processes) -> None:
    process, execution_id = start(scene.cli, cli_process, "artifacts/custom/serial.log")
    feed(process, b"one\n")
    keys = live_prefix(execution_id)
    wait_for(lambda: len(scene.list_keys(keys)) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    log = "artifacts/custom/serial.log"
    assert not stored_log(scene.s3, scene.bucket, log, execution_id).ended


def test_short_pipe_is_not_live_and_files_never_are(scene: Scene) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    piped = ("upload", execution_id, "-", "--name", "stdout.log", "--live")
    scene.cli(*piped, stdin=b"x").ok()
    assert [call.key for call in scene.recorder.calls() if call.key.startswith("live/")] == []
    scene.cli("upload", execution_id, os.devnull, "--live").expect(2)


def test_bytes_that_wait_are_bounded_and_nothing_follows_a_gap() -> None:
    waiting = WaitingBytes(most_bytes=10)
    waiting.append(memoryview(b"0123456"))
    waiting.release(3)
    waiting.append(memoryview(b"789abc"))
    waiting.append(memoryview(b"overflow"))
    waiting.append(memoryview(b"x"))
    assert waiting.size_bytes == 13
    assert waiting.read_at(3, 100) == b"3456789abc"
    waiting.release(13)
    waiting.append(memoryview(b"x"))
    assert (waiting.size_bytes, waiting.read_at(13, 5)) == (13, b"")
