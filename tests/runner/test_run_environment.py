"""`run` starts the command whatever the machine does not allow or has not got."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from tests.runner.test_run import wait_for
from tests.support.commands.commands_run import printed_command, results, run_id
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.limits import (
    few_descriptors,
    few_processes,
    ignoring,
    needs_another_user,
    non_blocking,
)
from tests.support.commands.running import Processes, Result, RunCommand
from tests.support.scene import Scene

SCRIPT = ("sh", "-c", "echo out; exit 7")


def assert_ran(result: Result) -> None:
    """The output and the exit code are the command's, and nothing unexpected is said."""
    assert result.expect(7).stdout == b"out\n"
    assert b"unexpected" not in result.stderr
    assert b"Traceback" not in result.stderr


# --- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [6, 7, 8, 10, 13, 16, 18, 19, 20, 24, 48])
def test_with_few_descriptors_the_command_runs(
    scene: Scene, count: int, cli_process: Processes, forks: ForkServer
) -> None:
    result = cli_process.run("run", "--", *SCRIPT, command=few_descriptors(count))
    assert_ran(result)
    if b"nothing of this run is stored" in result.stderr:
        assert count < 48
    elif b"not everything" in result.stderr:
        assert count < 48
        forks.run(*printed_command(result.stderr)).ok()
        assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"
    else:
        assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"


@needs_another_user
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 64])
def test_with_few_processes_and_threads_the_command_runs(
    scene: Scene, count: int, cli_process: Processes
) -> None:
    """Whatever is not stored is said; what has a spool is stored by the printed command."""
    command, user = few_processes(count)
    spool = scene.directory / "spool"
    spool.mkdir()
    os.chown(spool, user, user)
    line = ("run", "--spool", spool, "--", *SCRIPT)
    result = cli_process.run(*line, command=command)
    assert_ran(result)
    left = list(spool.iterdir())
    if left:
        assert b"no more threads" in result.stderr
        assert str(left[0]).encode() in result.stderr
    elif b"nothing of this run is stored" not in result.stderr:
        assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"
        assert count > 1
    assert count < 64 or not left


# --- no home, no spool -----------------------------------------------------------------------


def test_without_a_home_the_output_is_stored(scene: Scene, cli_process: Processes) -> None:
    """Without HOME, the home of the passwd entry counts; that is the container's case."""
    environment = {"HOME": None, "TMPDIR": str(scene.directory)}
    result = cli_process.run("run", "--", *SCRIPT, env=environment, command=_without_passwd())
    assert_ran(result)
    assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"
    assert list(Path.cwd().iterdir()) == []


def _without_passwd() -> tuple[str, ...]:
    script = (
        "import pwd, sys\n"
        "def none(*_): raise KeyError('no such user')\n"
        "pwd.getpwuid = pwd.getpwnam = none\n"
        "from orchestrator_cli.cli.main import run_process\n"
        "run_process()"
    )
    return (sys.executable, "-c", script)


def test_with_a_home_that_cannot_be_used_the_output_is_stored(
    scene: Scene, forks: ForkServer
) -> None:
    environment = {"HOME": "/dev/null/home", "TMPDIR": None}
    result = forks.run("run", "--", *SCRIPT, env=environment)
    assert_ran(result)
    assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"


def test_no_place_for_the_spool_costs_the_logs_and_says_so(scene: Scene, forks: ForkServer) -> None:
    (scene.directory / "report.xml").write_text("<r/>")
    options = ("--spool", "/dev/null/spool", "--artifacts", scene.directory / "report.xml")
    result = forks.run("run", *options, "--", *SCRIPT)
    assert_ran(result)
    assert b"/dev/null/spool: Not a directory: the output of CMD will not be stored" in (
        result.stderr
    )
    kept = scene.record(run_id(result))
    assert (kept["result"], kept["artifact_status"]) == ("fail", "artifact_error")
    assert {one["path"] for one in kept["failures"]} == {"logs/stdout.log", "logs/runner.log"}
    files = scene.files(run_id(result))
    assert sorted(files) == ["artifacts/custom/report.xml", "artifacts/results.json"]
    assert results(files)["exit_code"] == 7


@pytest.mark.parametrize("made", ["by another", "a link", "open to others"])
def test_a_place_that_somebody_else_prepared_is_not_used(
    scene: Scene, made: str, forks: ForkServer
) -> None:
    planted = scene.directory / f"orchestrator-{os.getuid()}"
    elsewhere = scene.directory / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if made == "a link":
        planted.symlink_to(elsewhere)
    else:
        planted.mkdir(mode=0o777 if made == "open to others" else 0o700)
        planted.chmod(0o777 if made == "open to others" else 0o700)
    if made == "by another":
        if os.geteuid() != 0:
            pytest.skip("only root can make what belongs to another user")
        os.chown(planted, 54321, 54321)
    environment = {"HOME": "/dev/null/home", "TMPDIR": str(scene.directory)}
    result = forks.run("run", "--", *SCRIPT, env=environment)
    assert_ran(result)
    assert b"the output of CMD will not be stored" in result.stderr
    assert list(elsewhere.iterdir()) == []
    assert list(planted.iterdir()) == []


def test_a_fallback_for_the_spool_is_ours_alone(scene: Scene, forks: ForkServer) -> None:
    environment = {"HOME": "/dev/null/home", "TMPDIR": str(scene.directory)}
    forks.run("run", "--", "true", env=environment).ok()
    made = scene.directory / f"orchestrator-{os.getuid()}"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_in_a_directory_that_is_gone_the_command_runs(scene: Scene, cli_process: Processes) -> None:
    gone = scene.directory / "gone"
    script = f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$@"'
    python = (sys.executable, "-m", "orchestrator_cli")
    line = ("run", "--artifacts", "report.xml", "--", *SCRIPT)
    result = cli_process.run(*line, command=("sh", "-c", script, "sh", *python))
    assert_ran(result)


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ORCHESTRATOR_BUCKET": None}, b"no bucket is configured"),
        ({"ORCHESTRATOR_CONFIG": "broken.toml"}, b"broken.toml is not valid TOML"),
        ({"ORCHESTRATOR_TAG": "untagged", "ORCHESTRATOR_UI_URL": "page"}, b"ORCHESTRATOR_TAG: "),
        ({"AWS_PROFILE": "nobodys", "ORCHESTRATOR_UI_URL": "page"}, b"'nobodys' is not configured"),
    ],
)
def test_settings_that_cannot_be_used_cost_the_storage_and_not_the_command(
    scene: Scene, settings: dict[str, str | None], said: bytes, forks: ForkServer
) -> None:
    Path("broken.toml").write_text("bucket =")
    options = ("--suite", "smoke", "--metrics-push", "nowhere")
    result = forks.run("run", *options, "--", *SCRIPT, env=settings)
    assert_ran(result)
    assert result.stderr.count(said) == (1 if "AWS_PROFILE" in settings else 2)
    assert b"nothing is counted there" in result.stderr
    forks.run(*printed_command(result.stderr)).ok()
    kept = scene.record(run_id(result))
    assert (kept["result"], kept["test_suite"], kept["artifact_status"]) == (
        "fail",
        "smoke",
        "complete",
    )
    assert scene.files(run_id(result))["logs/stdout.log"] == b"out\n"


@pytest.mark.parametrize(
    "line", ["--patience soon run", "run --patience soon", "run --timeout soon"]
)
def test_a_line_that_is_wrong_starts_nothing_even_where_settings_are(
    line: str, cli: RunCommand
) -> None:
    result = cli(*line.split(), "--", "touch", "mark", env={"ORCHESTRATOR_TAG": "untagged"})
    assert "soon" in result.expect(2).err
    assert not Path("mark").exists()


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGCHLD"])
def test_a_signal_that_was_ignored_stays_so_for_the_command_too(
    name: str, cli_process: Processes, bucket: str
) -> None:
    script = f"import signal; print(signal.getsignal(signal.{name}) is signal.SIG_IGN, flush=True)"
    line = ("-q", "run", "--", sys.executable, "-c", f"{script}; input()")
    process = cli_process.start(*line, command=ignoring(name), stdin=-1)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"True\n"
    process.send_signal(getattr(signal, name))
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(60) == 0


# --- non-blocking descriptors ----------------------------------------------------------------


def test_output_to_a_slow_non_blocking_pipe_is_whole(scene: Scene, cli_process: Processes) -> None:
    size = 3_000_000
    process = cli_process.start(
        "run", "--", "head", "-c", str(size), "/dev/zero", command=non_blocking(1, 2)
    )
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert out == bytes(size)
    assert scene.files(run_id(err))["logs/stdout.log"] == bytes(size)


def test_the_end_of_a_non_blocking_input_is_its_end(scene: Scene, cli_process: Processes) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    process = cli_process.start(
        "upload", execution_id, "-", "--name", "stdout.log", command=non_blocking(0), stdin=-1
    )
    assert process.stdin is not None
    process.stdin.write(b"hello ")
    process.stdin.flush()
    # Nothing is there for longer than the command takes to read: only then it would find the end.
    wait_for(lambda: _waits_in_poll(process.pid))
    process.stdin.write(b"world")
    process.stdin.close()
    assert process.wait(60) == 0
    assert scene.files(execution_id)["logs/stdout.log"] == b"hello world"


def test_a_closed_input_is_not_taken_for_an_empty_one(scene: Scene, cli_process: Processes) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    python = (sys.executable, "-m", "orchestrator_cli")
    line = ("upload", execution_id, "-", "--name", "stdout.log")
    result = cli_process.run(*line, command=("sh", "-c", 'exec "$@" <&-', "sh", *python))
    assert "standard input is closed" in result.expect(2).err
    assert scene.files(execution_id) == {}


def _waits_in_poll(pid: int) -> bool:
    """Return whether a process has nothing to do: it does not run, and has read what there was."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return any("poll" in (thread / "wchan").read_text() for thread in threads)
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_listing_into_a_non_blocking_pipe_is_whole(scene: Scene, cli_process: Processes) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    log = scene.directory / "stdout.log"
    log.write_bytes(b"0123456789abcdef\n" * 200_000)
    scene.cli("upload", execution_id, log).ok()
    process = cli_process.start("logs", execution_id, command=non_blocking(1))
    assert process.stdout is not None
    # The pipe is full before anybody reads.
    wait_for(lambda: _waits_in_poll(process.pid))
    assert process.stdout.read() == log.read_bytes()
    assert process.wait(60) == 0


# --- a reader that goes, options twice -------------------------------------------------------


def test_a_reader_of_messages_that_leaves_changes_no_exit_code(
    cli_process: Processes, bucket: str
) -> None:
    process = cli_process.start("run", "--", "sh", "-c", "sleep 0.2; exit 7")
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(60) == 7


@pytest.mark.parametrize(
    "line",
    [
        "run --suite a --suite b -- touch mark",
        "run --timeout 1s --timeout 2s -- touch mark",
        "--bucket a --bucket b run -- touch mark",
        "logs -n 1 -n 2",
    ],
)
def test_an_option_that_is_given_twice_drops_no_value(scene: Scene, line: str) -> None:
    result = scene.cli(*line.split()).expect(2)
    assert "is given more than once" in result.err
    assert not Path("mark").exists()
