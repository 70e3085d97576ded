"""`run` on S3's worst days: the command never notices, and the printed command stores the rest."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.runner.test_run import wait_for
from tests.support.commands.commands_run import printed_command, run_id, spools
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes
from tests.support.proxy import faults
from tests.support.scene import Scene

MIB = 1024 * 1024


def closed_port() -> str:
    """Return a URL where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def assert_resumes(
    forks: ForkServer, scene: Scene, stderr: bytes, stdout_log: bytes
) -> dict[str, bytes]:
    """Run the printed command and return what is stored then."""
    forks.run(*printed_command(stderr)).ok()
    assert spools() == []
    execution_id = run_id(stderr)
    files = scene.files(execution_id)
    assert files["logs/stdout.log"] == stdout_log
    kept = scene.record(execution_id)
    assert (kept["status"], kept["artifact_status"]) == ("completed", "complete")
    assert kept["artifact_count"] == len(files)
    assert "artifacts/results.json" in files
    assert kept["failures"] == []
    return files


def test_s3_down_from_start_to_end_leaves_a_spool_that_resumes(
    scene: Scene, forks: ForkServer
) -> None:
    (scene.directory / "shot.png").write_text("png")
    options = ("--suite", "s", "--artifacts", scene.directory)
    result = forks.run(
        "run", *options, "--", "sh", "-c", "echo out; echo err >&2; exit 7",
        env={"AWS_ENDPOINT_URL": closed_port()},
    ).expect(7)  # fmt: skip
    assert result.stdout == b"out\n"
    assert b"connection refused" in result.stderr
    files = assert_resumes(forks, scene, result.stderr, b"out\n")
    assert files["artifacts/screenshots/shot.png"] == b"png"
    kept = scene.record(run_id(result))
    assert (kept["result"], kept["test_suite"]) == ("fail", "s")
    assert kept["run"]["exit_code"] == 7


def test_s3_down_does_not_hold_the_command_back(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    """S3 takes a connection and falls silent; the command runs to its end meanwhile."""
    scene.recorder.inject(faults.Stall(), times=None)
    process = cli_process.start(
        "run",
        "--upload-timeout",
        "1s",
        "--",
        "sh",
        "-c",
        f"echo x; touch {scene.directory}/ran; exit 8",
    )
    wait_for((scene.directory / "ran").exists)
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (8, b"x\n")
    assert b"S3 took nothing for 1 s" in err
    scene.recorder.heal()
    assert_resumes(forks, scene, err, b"x\n")


def test_s3_down_in_the_middle_leaves_a_spool_that_resumes(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    """The first parts are stored while the command runs; then every connection is reset."""
    go = scene.directory / "go"
    script = f"head -c {20 * MIB} /dev/zero; until [ -e {go} ]; do sleep 0.05; done; echo end"
    with (scene.directory / "out").open("wb") as file:
        process = cli_process.start("run", "--", "sh", "-c", script, stdout=file)
    scene.recorder.wait_for(lambda seen: any(one.operation == "UploadPart" for one in seen), 60)
    assert process.poll() is None
    scene.recorder.inject(faults.ResetBefore(), times=None)
    go.touch()
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0
    out = (scene.directory / "out").read_bytes()
    assert out == bytes(20 * MIB) + b"end\n"
    scene.recorder.heal()
    assert_resumes(forks, scene, err, out)


@pytest.mark.parametrize("key", ["runner.log$", "results.json$", "^history/"])
def test_s3_down_at_the_end_leaves_a_spool_that_resumes(
    scene: Scene, key: str, forks: ForkServer
) -> None:
    scene.recorder.inject(faults.ResetBefore(), key=key, times=None)
    result = forks.run("run", "--", "echo", "x").ok()
    assert result.stdout == b"x\n"
    scene.recorder.heal()
    assert_resumes(forks, scene, result.stderr, b"x\n")


@pytest.mark.parametrize("fault", [faults.access_denied, faults.internal_error, faults.ResetBefore])
@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("stdout.log$", "logs/stdout.log"),
        ("results.json$", "artifacts/results.json"),
        ("two.txt$", "artifacts/custom/two.txt"),
    ],
)
def test_what_one_key_refuses_is_recorded_of_that_file_alone(
    scene: Scene, key: str, path: str, fault: Callable[[], faults.Fault], forks: ForkServer
) -> None:
    tree = scene.write_tree({"one.txt": "1", "two.txt": "2", "three.txt": "3"})
    scene.recorder.inject(fault(), key=key, times=None)
    result = forks.run("run", "--artifacts", tree, "--", "echo", "x").ok()
    kept = scene.record(run_id(result))
    assert (kept["status"], kept["artifact_status"]) == ("completed", "artifact_error")
    assert [one["path"] for one in kept["failures"]] == [path]
    everything = {
        *(f"artifacts/custom/{name}.txt" for name in ("one", "two", "three")),
        *(f"logs/{name}.log" for name in ("runner", "stdout", "stderr")),
        "artifacts/results.json",
    }
    assert scene.files(run_id(result)).keys() == everything - {path}
    assert b"warning: " in result.stderr
    scene.recorder.heal()
    # What is printed stores the rest, and clears the record.
    (line,) = [line for line in result.err.splitlines() if line.startswith("  orchestrator ")]
    forks.run(*shlex.split(line)[1:]).ok()
    assert spools() == []
    cleared = scene.record(run_id(result))
    assert (cleared["artifact_status"], cleared["failures"]) == ("complete", [])
    assert scene.files(run_id(result)).keys() == everything


def test_a_passing_fault_is_not_even_told(scene: Scene, forks: ForkServer) -> None:
    scene.recorder.inject(faults.internal_error(), times=2)
    result = forks.run("run", "--", "echo", "x").ok()
    assert b"warning" not in result.stderr
    assert spools() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_after_the_command_end_the_uploads(
    scene: Scene, number: signal.Signals, cli_process: Processes, forks: ForkServer
) -> None:
    hold = faults.Hold("head")
    scene.recorder.inject(hold, key="stdout.log$", times=None)
    process = cli_process.start("run", "--", "echo", "x")
    assert hold.reached.wait(60)
    # The end of our output is the sign that the command has ended and everything is passed on.
    assert process.stdout is not None
    assert process.stdout.read() == b"x\n"

    def is_over() -> bool:
        process.send_signal(number)
        return process.poll() is not None

    wait_for(is_over)
    assert process.returncode == 0
    assert process.stderr is not None
    err = process.stderr.read()
    assert b"interrupted" in err
    hold.released.set()
    scene.recorder.heal()
    scene.recorder.settle()
    assert_resumes(forks, scene, err, b"x\n")


def test_a_killed_runner_is_told_as_an_error(scene: Scene, cli_process: Processes) -> None:
    """The process that stores outlives it, and finishes what there is."""
    process = cli_process.start("run", "--", "sh", "-c", "echo $$; exec sleep 600")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    os.killpg(pid, signal.SIGKILL)
    assert process.stderr is not None
    execution_id = run_id(process.stderr.read())
    wait_for(lambda: not spools())
    kept = scene.record(execution_id)
    assert (kept["result"], kept["run"]["summary"]) == ("error", "the runner was killed")
    assert scene.files(execution_id)["logs/stdout.log"] == f"{pid}\n".encode()


DEAD_ALREADY = """
import os, signal, time
from orchestrator_cli.runner.signals import blocked_signals
from orchestrator_cli.runner.supervisor import RUN_SIGNALS, Supervisor
from orchestrator_cli.runner.uploader_process import UploaderProcess

with blocked_signals(RUN_SIGNALS) as signals:
    pid = os.fork() or os._exit(0)
    assert signals.wait_until(None) is signal.SIGCHLD
    supervisor = Supervisor(signals, print)
    supervisor.wait_uploader(UploaderProcess(pid, 0, 0), lambda: os._exit(1))
    assert pid in supervisor.statuses
"""


def test_process_that_stores_is_not_waited_for_when_it_died_with_the_command(
    cli_process: Processes,
) -> None:
    """The signal that tells of it may come while the last output is copied."""
    cli_process.run("-c", DEAD_ALREADY, command=(sys.executable,)).ok()


def test_what_a_power_cut_leaves_is_stored_later(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    """Everything dies at once: the runner, the process that stores, the command."""
    scene.recorder.inject(faults.Stall(), times=None)
    process = cli_process.start(
        "run", "--", "sh", "-c", "echo $$; exec sleep 600", start_new_session=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    (spool,) = spools()
    wait_for((spool / "logs/stdout.log").read_bytes)
    busy = forks.run("run", "--resume", spool).expect(1)
    assert b"still under way" in busy.stderr
    os.killpg(process.pid, signal.SIGKILL)
    os.killpg(pid, signal.SIGKILL)
    process.wait()
    died = datetime.now(UTC)
    # A resume that stores nothing changes the spool, too.
    scene.recorder.heal()
    scene.recorder.inject(faults.access_denied(), times=None)
    assert forks.run("run", "--resume", spool).exit_code != 0
    scene.recorder.heal()
    wait_for(lambda: forks.run("run", "--resume", spool).exit_code == 0)
    kept = scene.record(spool.name)
    assert (kept["result"], kept["status"]) == ("error", "completed")
    assert datetime.fromisoformat(kept["ended_at"]) <= died
    assert scene.files(spool.name)["logs/stdout.log"] == f"{pid}\n".encode()


def test_a_full_spool_disk_loses_the_log_and_nothing_else(
    scene: Scene, cli_process: Processes
) -> None:
    """A limit on the size of files stands for a full disk: writing fails the same way."""
    script = 'ulimit -f 64; exec "$0" -m orchestrator_cli run -- head -c 1000000 /dev/zero'
    result = cli_process.run(sys.executable, command=("sh", "-c", script)).ok()
    assert result.stdout == bytes(1_000_000)
    kept = scene.record(run_id(result))
    assert (kept["result"], kept["artifact_status"]) == ("pass", "artifact_error")
    (failure,) = kept["failures"]
    assert failure["path"] == "logs/stdout.log"
    files = scene.files(run_id(result))
    kept_bytes = len(files["logs/stdout.log"])
    assert 0 < kept_bytes < 1_000_000
    assert f"{1_000_000 - kept_bytes:,} bytes" in failure["error"]
    assert json.loads(files["artifacts/results.json"])["lost"] == {
        "logs/stdout.log": failure["error"]
    }
    # What is lost is said where nothing can be stored, too.
    unset = {"ORCHESTRATOR_BUCKET": None}
    lost = cli_process.run(sys.executable, command=("sh", "-c", script), env=unset).ok()
    assert re.search(rb"warning: logs/stdout\.log: .* lost: ", lost.stderr)
