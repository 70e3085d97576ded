"""`orchestrator run`: the command behaves as without it, and its output is stored."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands.commands_run import results, run_id, spools
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.scene import Scene
from tests.support.stored.executions import make_id


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has waited for has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


# --- what is stored --------------------------------------------------------------------------


def test_output_logs_artifacts_and_results_are_stored(scene: Scene, forks: ForkServer) -> None:
    tree = scene.write_tree({"coverage.xml": "<c/>", "deep/shot.png": "png"})
    script = r"printf 'out\000\377'; printf 'err\n' >&2; exit 3"
    options = ("--suite", "smoke", "--label", "a=b", "--artifacts", tree)
    result = forks.run("run", *options, "--", "sh", "-c", script).expect(3)
    assert result.stdout == b"out\0\xff"
    assert b"err\n" in result.stderr
    assert b": fail, exit code 3; 6 files" in result.stderr
    execution_id = run_id(result)
    files = scene.files(execution_id)
    assert sorted(files) == [
        "artifacts/coverage.xml",
        "artifacts/results.json",
        "artifacts/screenshots/deep/shot.png",
        "logs/runner.log",
        "logs/stderr.log",
        "logs/stdout.log",
    ]
    assert files["logs/stdout.log"] == b"out\0\xff"
    assert files["logs/stderr.log"] == b"err\n"
    kept = scene.record(execution_id)
    assert (kept["result"], kept["status"], kept["artifact_status"]) == (
        "fail",
        "completed",
        "complete",
    )
    assert (kept["test_suite"], kept["labels"]) == ("smoke", {"a": "b"})
    details = kept["run"]
    assert details["command"] == ["sh", "-c", script]
    assert (details["exit_code"], details["signal"], details["timed_out"]) == (3, None, False)
    assert details["ended_at"] == kept["ended_at"]
    summary = results(files)
    assert summary["result"] == "fail"
    assert summary["exit_code"] == 3
    assert summary["stderr_tail"] == ["err"]
    assert summary["host"] == details["host"]
    assert spools() == []


def test_runner_log_says_what_happened_and_no_secrets(scene: Scene, forks: ForkServer) -> None:
    environment = {"TOKEN": "hush-hush"}
    result = forks.run("run", "--", "echo", "hello you", env=environment).ok()
    log = scene.files(run_id(result))["logs/runner.log"].decode()
    assert all(
        re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in log.splitlines()
    )
    for text in ("command: echo 'hello you'", "end: exit code 0", "stored: logs/stdout.log"):
        assert text in log
    assert "hush" not in log


def test_a_command_that_prints_nothing_leaves_empty_logs(scene: Scene, forks: ForkServer) -> None:
    result = forks.run("run", "--", "true").ok()
    files = scene.files(run_id(result))
    assert (files["logs/stdout.log"], files["logs/stderr.log"]) == (b"", b"")
    assert results(files)["result"] == "pass"


def test_results_that_the_command_wrote_are_its_own(scene: Scene, forks: ForkServer) -> None:
    script = f"mkdir {scene.directory}/a && echo mine > {scene.directory}/a/results.json"
    result = forks.run("run", "--artifacts", scene.directory / "a", "--", "sh", "-c", script).ok()
    assert scene.files(run_id(result))["artifacts/results.json"] == b"mine\n"


def test_the_command_can_upload_to_its_own_execution(scene: Scene, forks: ForkServer) -> None:
    (scene.directory / "results.json").write_text("own")
    python = shlex.quote(sys.executable)
    script = f"{python} -m orchestrator_cli upload {scene.directory}/results.json"
    result = forks.run(
        "--bucket", scene.bucket, "run", "--", "sh", "-c", script, env={"ORCHESTRATOR_BUCKET": None}
    ).ok()
    files = scene.files(run_id(result))
    assert files["artifacts/results.json"] == b"own"
    assert spools() == []


def test_an_id_is_made_or_used(scene: Scene, forks: ForkServer) -> None:
    fresh, made = make_id(), make_id()
    forks.run("new", "--id", made, "--suite", "s").ok()
    for one in (fresh, made):
        forks.run("-q", "run", "--id", one, "--", "echo", "x").ok()
        assert scene.files(one)["logs/stdout.log"] == b"x\n"
        assert scene.record(one)["run"]["command"] == ["echo", "x"]
    assert scene.record(made)["test_suite"] == "s"


def test_the_logs_of_another_run_are_left_alone(scene: Scene, forks: ForkServer) -> None:
    one = make_id()
    forks.run("-q", "run", "--id", one, "--", "echo", "first").ok()
    second = forks.run("run", "--id", one, "--", "echo", "second").ok()
    assert second.stdout == b"second\n"
    assert b"the key holds other content" in second.stderr
    assert b"resuming cannot help" in second.stderr
    assert b" --resume " not in second.stderr
    assert scene.files(one)["logs/stdout.log"] == b"first\n"
    (left,) = spools()
    assert (left / "logs/stdout.log").read_bytes() == b"second\n"
    again = forks.run("run", "--resume", left).expect(6)
    assert b"resuming cannot help" in again.stderr


def test_an_artifact_that_cannot_be_stored_is_told_and_marked(
    scene: Scene, forks: ForkServer
) -> None:
    tree = scene.directory / "tree"
    tree.mkdir()
    (tree / "good").write_text("x")
    (tree / "bad\nname").write_text("x")
    result = forks.run("run", "--artifacts", tree, "--", "true").ok()
    assert b"control characters" in result.stderr
    kept = scene.record(run_id(result))
    assert kept["artifact_status"] == "artifact_error"
    assert len(kept["failures"]) == 1
    assert "artifacts/custom/good" in scene.files(run_id(result))


def test_an_artifact_that_was_never_made_is_said_and_recorded(
    scene: Scene, forks: ForkServer
) -> None:
    os.mkfifo("fifo")
    made = ("--artifacts", "nowhere.xml", "--artifacts", "fifo")
    result = forks.run("run", *made, "--", "true").ok()
    assert b"nowhere.xml: no such file" in result.stderr
    assert b"fifo: not a regular file" in result.stderr
    assert b" stored, 2 missing or not whole (artifact_error)\n" in result.stderr
    kept = scene.record(run_id(result))
    assert (kept["result"], kept["artifact_status"]) == ("pass", "artifact_error")
    names = ["artifacts/custom/fifo", "artifacts/custom/nowhere.xml"]
    assert sorted(one["path"] for one in kept["failures"]) == names
    Path("nowhere.xml").write_text("<now/>")
    Path("fifo").unlink()
    Path("fifo").write_text("a file now")
    forks.run("upload", run_id(result), "nowhere.xml", "fifo").ok()
    cleared = scene.record(run_id(result))
    assert (cleared["artifact_status"], cleared["failures"]) == ("complete", [])


def test_an_artifact_that_may_be_missing_is_no_failure(scene: Scene, forks: ForkServer) -> None:
    options = ("--artifacts", "nowhere", "--if-no-artifacts", "ignore")
    result = forks.run("run", *options, "--", "true").ok()
    assert b"nowhere" not in result.stderr
    assert scene.record(run_id(result))["artifact_status"] == "complete"


def test_several_files_and_directories_are_stored_without_what_is_hidden(
    scene: Scene, forks: ForkServer
) -> None:
    tree = scene.write_tree(
        {"a/one.txt": "1", "a/.env": "SECRET", "b/two.txt": "2", "report.xml": "<r/>"}
    )
    options = [word for name in ("a", "b", "report.xml") for word in ("--artifacts", tree / name)]
    result = forks.run("run", *options, "--", "true").ok()
    assert b".env: hidden" in result.stderr
    files = scene.files(run_id(result))
    assert {path for path in files if path.startswith("artifacts/custom/")} == {
        "artifacts/custom/one.txt",
        "artifacts/custom/two.txt",
        "artifacts/custom/report.xml",
    }
    kept = scene.record(run_id(result))
    assert (kept["artifact_status"], kept["failures"]) == ("complete", [])


def test_two_files_for_one_place_are_one_failure(scene: Scene, forks: ForkServer) -> None:
    tree = scene.write_tree({"a/same.txt": "1", "b/same.txt": "2"})
    options = ("--artifacts", tree / "a", "--artifacts", tree / "b")
    result = forks.run("run", *options, "--", "true").ok()
    assert b"same.txt: the key holds other content" in result.stderr
    kept = scene.record(run_id(result))
    assert kept["artifact_status"] == "artifact_error"
    assert [one["path"] for one in kept["failures"]] == ["artifacts/custom/same.txt"]


# --- how it ends -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "result", "summary"),
    [
        ("kill -SEGV $$", 139, "error", "killed by SIGSEGV"),
        ("kill -KILL $$", 137, "error", "killed by SIGKILL"),
        ("exit 255", 255, "fail", "exit code 255"),
        ("exit 137", 137, "fail", "exit code 137"),
    ],
)
def test_the_exit_code_is_the_commands(
    scene: Scene, script: str, code: int, result: str, summary: str, forks: ForkServer
) -> None:
    ended = forks.run("run", "--", "sh", "-c", script).expect(code)
    kept = scene.record(run_id(ended))
    assert (kept["result"], kept["run"]["summary"]) == (result, summary)
    assert kept["run"]["exit_code"] == code


def test_a_command_that_cannot_start_ends_as_in_a_shell(scene: Scene, forks: ForkServer) -> None:
    plain = scene.directory / "plain"
    plain.write_text("")
    missing = forks.run("run", "--", "no-such-command").expect(127)
    assert b"no-such-command: command not found" in missing.stderr
    denied = forks.run("run", "--", plain).expect(126)
    for one in (missing, denied):
        assert scene.record(run_id(one))["result"] == "error"
        assert results(scene.files(run_id(one)))["result"] == "error"


def test_a_script_without_an_interpreter_runs_as_in_a_shell(
    scene: Scene, forks: ForkServer
) -> None:
    script = scene.directory / "script"
    script.write_text('echo "got $1"; exit 4\n')
    script.chmod(0o755)
    assert forks.run("run", "--", script, "it").expect(4).stdout == b"got it\n"


def test_a_time_limit_ends_the_group_even_where_sigterm_is_ignored(
    scene: Scene, forks: ForkServer
) -> None:
    script = "trap '' TERM; echo begun; while :; do sleep 1; done"
    limits = ("--timeout", "3s", "--kill-after", "200ms")
    result = forks.run("run", *limits, "--", "sh", "-c", script).expect(124)
    assert result.stdout == b"begun\n"
    kept = scene.record(run_id(result))
    assert kept["result"] == "error"
    assert (kept["run"]["timed_out"], kept["run"]["exit_code"]) == (True, 124)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command_and_its_output_is_stored(
    scene: Scene, number: signal.Signals, cli_process: Processes
) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    process = cli_process.start("run", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (9, f"{name}\n".encode())
    files = scene.files(run_id(err))
    assert files["logs/stdout.log"] == f"ready\n{name}\n".encode()
    assert f"{number.name}: passed on".encode() in files["logs/runner.log"]


def test_a_command_that_ignores_sigterm_goes_on(scene: Scene, cli_process: Processes) -> None:
    go = scene.directory / "go"
    script = f"trap '' TERM; echo ready; until [ -e {go} ]; do sleep 0.05; done; echo done"
    process = cli_process.start("-q", "run", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    (scene.directory / "go").touch()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n")


def test_a_failed_run_names_the_command_that_shows_why(forks: ForkServer, bucket: str) -> None:
    result = forks.run("run", "--", "sh", "-c", "echo because >&2; kill -9 $$").expect(137)
    (line,) = [line for line in result.err.splitlines() if line.startswith("to see why: ")]
    words = line.removeprefix("to see why: orchestrator ").split()
    shown = forks.run(*words, "stderr").ok()
    assert words[-2:] == ["logs", run_id(result)]
    assert shown.stdout == b"because\n"


# --- its children, its streams ---------------------------------------------------------------


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_what_it_leaves_behind_ends_with_it(scene: Scene, trap: str, forks: ForkServer) -> None:
    script = f"({trap}echo ready >&2; exec sleep 600) & echo $!; sleep 0.2; exit 5"
    result = forks.run("run", "--", "sh", "-c", script).expect(5)
    pid = int(result.stdout)
    wait_for(lambda: is_gone(pid))
    assert scene.files(run_id(result))["logs/stdout.log"] == result.stdout


def test_a_daemon_that_holds_the_streams_open_stops_nobody(forks: ForkServer, bucket: str) -> None:
    script = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    )
    result = forks.run("run", "--", sys.executable, "-c", script).ok()
    os.kill(int(result.stdout), signal.SIGKILL)


def test_a_stream_closed_early_ends_early_for_our_reader(
    scene: Scene, cli_process: Processes
) -> None:
    script = f"echo x; exec >&-; until [ -e {scene.directory}/go ]; do sleep 0.05; done; exit 6"
    process = cli_process.start("-q", "run", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.read() == b"x\n"  # to the end, while the command runs
    assert process.poll() is None
    (scene.directory / "go").touch()
    assert process.wait(60) == 6


def test_a_reader_that_leaves_is_noticed_by_the_command(
    scene: Scene, cli_process: Processes
) -> None:
    process = cli_process.start("run", "--", "yes")
    assert process.stdout is not None
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    kept = scene.record(run_id(process.stderr.read()))
    assert kept["run"]["signal"] == "SIGPIPE"


def test_closed_streams_change_nothing(scene: Scene, cli_process: Processes) -> None:
    line = shlex.join([sys.executable, "-m", "orchestrator_cli", "run", "--id", one := make_id()])
    script = f"{line} -- sh -c 'echo x > {scene.directory}/ran; exit 3' <&- >&- 2>&-"
    cli_process.run(command=("sh", "-c", script)).expect(3)
    assert (scene.directory / "ran").exists()
    assert scene.record(one)["result"] == "fail"


def test_a_full_disk_behind_our_output_costs_neither_the_command_nor_the_log(
    scene: Scene, cli_process: Processes
) -> None:
    script = "echo one; sleep 0.1; echo two; exit 3"
    with Path("/dev/full").open("wb") as full:
        process = cli_process.start("run", "--", "sh", "-c", script, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"warning: standard output: No space left on device" in err
    assert scene.files(run_id(err))["logs/stdout.log"] == b"one\ntwo\n"


def test_a_record_that_is_not_valid_has_to_be_put_right_before_a_run_is_stored(
    scene: Scene, forks: ForkServer
) -> None:
    one = make_id()
    scene.s3.put_object(Bucket=scene.bucket, Key=f"executions/{one}/metadata.json", Body=b"{")
    ran = forks.run("run", "--id", one, "--", "echo", "x").ok()
    assert ran.stdout == b"x\n"
    assert b"metadata.json of" in ran.stderr
    assert b"To store it, once that is put right:\n" in ran.stderr


def test_other_descriptors_are_the_commands(cli_process: Processes, bucket: str) -> None:
    line = shlex.join([sys.executable, "-m", "orchestrator_cli", "-q", "run"])
    script = f"{line} -- sh -c 'echo to three >&3' 3>&1"
    assert cli_process.run(command=("sh", "-c", script)).ok().stdout == b"to three\n"


def test_who_writes_to_the_command_notices_its_end(cli_process: Processes, bucket: str) -> None:
    line = shlex.join([sys.executable, "-m", "orchestrator_cli", "-q", "run"])
    script = f"yes | {line} -- head -n 1"
    assert cli_process.run(command=("sh", "-c", script)).ok().stdout == b"y\n"


def test_standard_input_is_the_commands(cli_process: Processes, bucket: str) -> None:
    assert cli_process.run("-q", "run", "--", "cat", stdin=b"in\0put").ok().stdout == b"in\0put"


def test_much_output_passes_unchanged_and_is_stored_in_bounded_memory(
    scene: Scene, cli_process: Processes
) -> None:
    size = 96 * 1024 * 1024
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    inner = [sys.executable, "-m", "orchestrator_cli", "run", "--", "head", "-c", str(size)]
    out = scene.directory / "out"
    with out.open("wb") as file:
        process = cli_process.start(
            *inner, "/dev/zero", stdout=file, command=(sys.executable, "-c", script)
        )
        _, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    assert out.stat().st_size == size
    assert int(err.split()[-1]) < 200 * 1024  # KiB
    key = f"executions/{run_id(err)}/logs/stdout.log"
    assert scene.s3.head_object(Bucket=scene.bucket, Key=key)["ContentLength"] == size


# --- terminals -------------------------------------------------------------------------------

PROBE = (
    "import os, sys; "
    "print([os.isatty(n) for n in (0, 1, 2)], os.get_terminal_size(1).columns, flush=True); "
    "print('got', input(), flush=True); print('bad', file=sys.stderr)"
)


def test_a_terminal_stays_a_terminal(scene: Scene, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("run", "--", sys.executable, "-c", PROBE, columns=91)
    shown.read_until(rb"\[True, True, True\] 91\r\n")
    shown.send(b"keys\r")
    shown.read_until(rb"got keys\r\n")
    assert shown.wait() == 0
    files = scene.files(run_id(shown.output))
    assert b"got keys" in files["logs/stdout.log"]
    assert files["logs/stderr.log"] == b"bad\r\n"


def test_the_command_hears_of_a_new_window_size(
    terminal: Callable[..., Terminal], bucket: str
) -> None:
    script = (
        "import os, signal\n"
        # A handler would not run where the signal comes just before input() waits.
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})\n"
        "os.write(1, b'ready')\n"
        "signal.sigwait({signal.SIGWINCH})\n"
        "os.write(1, str(os.get_terminal_size(1)).encode())\n"
        "input()"
    )
    shown = terminal("run", "--", sys.executable, "-c", script)
    shown.read_until(b"ready")
    shown.resize(rows=33, columns=101)
    shown.read_until(rb"columns=101, lines=33")
    shown.send(b"\r")
    assert shown.wait() == 0


def test_ctrl_c_in_a_terminal_is_the_commands(
    scene: Scene, terminal: Callable[..., Terminal]
) -> None:
    # No shell: one may lose a signal that comes while it starts another command.
    script = "import time; print('ready', flush=True); time.sleep(600)"
    shown = terminal("run", "--", sys.executable, "-c", script)
    shown.read_until(b"ready")
    shown.send(b"\x03")
    assert shown.wait() == 130
    assert scene.record(run_id(shown.output))["run"]["signal"] == "SIGINT"


def test_the_terminal_gets_its_modes_back(terminal: Callable[..., Terminal], bucket: str) -> None:
    line = shlex.join([sys.executable, "-m", "orchestrator_cli", "-q", "run", "--", "true"])
    script = f'a=$(stty -g); {line}; b=$(stty -g); [ "$a" = "$b" ] && echo same modes'
    shown = terminal(command=("sh", "-c", script))
    shown.read_until(b"same modes")
    assert shown.wait() == 0


def test_a_command_with_its_output_elsewhere_may_read_from_the_terminal(
    terminal: Callable[..., Terminal], bucket: str
) -> None:
    line = shlex.join([sys.executable, "-m", "orchestrator_cli", "-q", "run", "--"])
    script = f"{line} sh -c 'read x; echo got $x' | cat; echo over"
    shown = terminal(command=("sh", "-c", script))
    shown.send(b"hello\n")
    shown.read_until(b"got hello")
    shown.read_until(b"over")


# --- usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("run", "missing CMD"),
        ("run --id nonsense -- touch mark", "not an execution id"),
        ("run --runner-type ec2 --bench-id b -- touch mark", "onprem only"),
        ("run --timeout soon -- touch mark", "not a duration"),
        ("run --resume . -- touch mark", "--resume runs nothing"),
        ("run --resume .", "not the spool of a run"),
    ],
)
def test_bad_usage_is_told_before_the_command_starts(scene: Scene, line: str, text: str) -> None:
    result = scene.cli(*line.split()).expect(2)
    assert text in result.err
    assert not Path("mark").exists()


def test_settings_are_looked_at_before_a_run_is_resumed(cli: RunCommand) -> None:
    assert "no bucket" in cli("run", "--resume", ".").expect(2).err


def test_show_says_how_it_ran(scene: Scene, forks: ForkServer) -> None:
    execution_id = run_id(forks.run("run", "--", "echo", "a b").ok())
    assert re.search(
        r"^run\texit code 0 after .* s on .*: echo 'a b'$",
        scene.cli("show", execution_id).out,
        re.MULTILINE,
    )


def test_result_of_somebody_else_stays_and_the_end_of_the_run_is_recorded(
    scene: Scene, forks: ForkServer
) -> None:
    made = make_id()
    forks.run("new", "--id", made).ok()
    python = shlex.quote(sys.executable)
    finish = f"{python} -m orchestrator_cli finish {made} --result pass"
    killed = ("run", "--id", made, "--", "sh", "-c", f"{finish} && kill -TERM $$")
    result = forks.run(*killed).expect(128 + signal.SIGTERM)
    said = b"the result pass was recorded before and stays; the run itself ended with error: killed"
    assert said in result.stderr
    assert f"finished {made}: pass, killed by SIGTERM; 4 files".encode() in result.stderr
    kept = scene.record(made)
    assert (kept["result"], kept["artifact_status"], kept["artifact_count"]) == (
        "pass",
        "complete",
        4,
    )
    assert (kept["run"]["exit_code"], kept["run"]["signal"]) == (143, "SIGTERM")
    assert kept["run"]["ended_at"] is not None
    assert spools() == []
    # The end of a run is not replaced by that of a later one that disagrees.
    forks.run("run", "--id", made, "--", "false").expect(1)
    assert scene.record(made)["run"] == kept["run"]
    (left,) = spools()
    assert b"--name artifacts/custom/whole-" in forks.run("run", "--resume", left).expect(6).stderr
