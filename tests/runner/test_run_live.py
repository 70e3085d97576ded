"""Live logs of a run: there while it runs, whole after whatever is killed, never in its way."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from orchestrator_cli.core.executions.keys import live_log_prefix, live_prefix, live_state_key
from orchestrator_cli.core.live.state import LiveState, parse_state
from tests.runner.test_run import wait_for
from tests.support.commands.commands_run import run_id, spools
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.live import inject_later_date

OUT, ERR = "stdout.log", "stderr.log"
# Two lines at different times, so that there are two segments, and no newline at the end.
TWICE = "echo one; sleep 0.7; printf 'two\\nend'; sleep 0.7; exit 3"
FAST = ("run", "--live", "0.2s")


def live(scene: Scene, execution_id: str, log: str = OUT) -> list[bytes]:
    return list(scene.contents(live_log_prefix(execution_id, log)).values())


def live_state(scene: Scene, execution_id: str) -> LiveState:
    key = live_state_key(execution_id)
    return parse_state(scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read(), key)


def test_logs_are_live_and_end_before_the_final_ones_are_there(
    scene: Scene, forks: ForkServer
) -> None:
    result = forks.run(*FAST, "--", "sh", "-c", TWICE).expect(3)
    execution_id = run_id(result)
    segments = live(scene, execution_id)
    assert len(segments) > 2
    assert segments[-1] == b""
    files = scene.files(execution_id)
    assert b"".join(segments) == files["logs/stdout.log"] == b"one\ntwo\nend"
    assert live(scene, execution_id, ERR) == [b""]
    state = live_state(scene, execution_id)
    assert (state.ended, state.logs[OUT].offset, state.logs[OUT].line) == (True, 11, 2)
    assert b"live" not in files["logs/runner.log"]
    keys = [call.key for call in scene.recorder.calls("PutObject")]
    last = max(number for number, key in enumerate(keys) if key.startswith("live/"))
    assert keys[last] == live_state_key(execution_id)
    finals = [f"executions/{execution_id}/logs/{name}" for name in (OUT, ERR)]
    assert all(keys.index(key) > last for key in finals)


def test_command_that_ends_at_once_and_one_that_wants_none_have_no_live_logs(
    forks: ForkServer, recorder: Proxy
) -> None:
    forks.run("run", "--", "true").ok()
    forks.run("run", "--live", "off", "--", "sh", "-c", "echo one; sleep 1.5").ok()
    assert [call.key for call in recorder.calls() if "live" in call.key] == []


def test_role_without_live_keys_leaves_the_run_as_it_is(scene: Scene, forks: ForkServer) -> None:
    scene.recorder.inject(faults.access_denied(), key="live/", times=None)
    result = forks.run(*FAST, "--", "sh", "-c", TWICE).expect(3)
    execution_id = run_id(result)
    files = scene.files(execution_id)
    assert files["logs/stdout.log"] == b"one\ntwo\nend"
    notes = [line for line in files["logs/runner.log"].splitlines() if b"live logs are off" in line]
    assert len(notes) == 1
    kept = scene.record(execution_id)
    assert (kept["result"], kept["artifact_status"], kept["failures"]) == ("fail", "complete", [])
    assert scene.list_keys(live_prefix(execution_id)) == []


def test_segment_that_hangs_holds_up_neither_the_command_nor_the_final_logs(
    scene: Scene, cli_process: Processes
) -> None:
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "PutObject", key=f"live/.*/{OUT}", times=None)
    until_held = f"until [ -e {scene.directory}/held ]; do sleep 0.05; done"
    script = f"echo one; {until_held}; head -c 20000000 /dev/zero; exit 3"
    process = cli_process.start(*FAST, "--", "sh", "-c", script)
    assert hold.reached.wait(60)
    (spool,) = spools()
    (scene.directory / "held").touch()
    process.communicate(timeout=60)
    assert process.returncode == 3
    files = scene.files(spool.name)
    assert len(files["logs/stdout.log"]) == 20_000_004
    assert scene.record(spool.name)["artifact_status"] == "complete"
    hold.released.set()
    scene.recorder.heal()
    scene.recorder.settle()


# --- who is killed ---------------------------------------------------------------------------

TICKS = "i=0; while :; do i=$((i+1)); echo $$ $i; sleep 0.05; done"


def start_ticking(cli_process: Processes, scene: Scene) -> tuple[subprocess.Popen[bytes], int, str]:
    """Start a run that prints for ever, and wait until some of it is live."""
    process = cli_process.start(*FAST, "--", "sh", "-c", TICKS, start_new_session=True)
    assert process.stdout is not None
    command = int(process.stdout.readline().split()[0])
    (spool,) = spools()
    wait_for(lambda: len(live(scene, spool.name)) > 1)
    return process, command, spool.name


def kill_ticking(cli_process: Processes, scene: Scene) -> Path:
    """Kill such a run, its command and all else of it; return the spool that is left."""
    process, command, _ = start_ticking(cli_process, scene)
    for group in (process.pid, command):
        os.killpg(group, signal.SIGKILL)
    process.wait()
    (spool,) = spools()
    return spool


def let_go(process: subprocess.Popen[bytes]) -> bytes:
    """Return what the command had printed and somebody has still to read."""
    assert process.stdout is not None
    return process.stdout.read()


def test_killed_command_has_its_last_line_live(scene: Scene, cli_process: Processes) -> None:
    process, command, execution_id = start_ticking(cli_process, scene)
    os.killpg(command, signal.SIGKILL)
    let_go(process)
    assert process.wait() == 128 + signal.SIGKILL
    final = scene.files(execution_id)["logs/stdout.log"]
    assert b"".join(live(scene, execution_id)) == final
    assert live_state(scene, execution_id).ended
    assert scene.record(execution_id)["result"] == "error"


def test_killed_run_is_ended_by_the_process_that_stores(
    scene: Scene, cli_process: Processes
) -> None:
    process, command, execution_id = start_ticking(cli_process, scene)
    killed_at = datetime.now(UTC).replace(microsecond=0)
    process.kill()
    os.killpg(command, signal.SIGKILL)
    wait_for(lambda: not spools())
    files = scene.files(execution_id)
    assert b"".join(live(scene, execution_id)) == files["logs/stdout.log"]
    assert live_state(scene, execution_id).ended
    assert b"the runner was killed: the process that stores goes on" in files["logs/runner.log"]
    kept = scene.record(execution_id)
    assert datetime.fromisoformat(kept["ended_at"]) >= killed_at
    assert kept["run"]["duration_seconds"] > 0


def test_resumed_run_takes_back_what_its_spool_has_lost(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    """All are killed, as by a power cut that also takes what the disk had not yet."""
    spool = kill_ticking(cli_process, scene)
    execution_id = spool.name
    before = live_state(scene, execution_id)
    assert not before.ended
    seen = b"".join(live(scene, execution_id))
    log = spool / "logs" / OUT
    whole = log.read_bytes()
    # In the middle of a segment, so that part of one is taken back.
    os.truncate(log, 3)
    wait_for(lambda: forks.run("run", "--resume", spool).exit_code == 0)
    files = scene.files(execution_id)
    final = files["logs/stdout.log"]
    assert whole.startswith(seen)
    assert final == seen
    assert b"".join(live(scene, execution_id)) == final
    assert b"bytes are taken back from live segments" in files["logs/runner.log"]
    after = live_state(scene, execution_id)
    assert (after.ended, after.writer, after.epoch) == (True, before.writer, before.epoch + 1)


def test_resumed_run_stores_its_spool_where_live_segments_have_other_bytes(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    spool = kill_ticking(cli_process, scene)
    execution_id = spool.name
    log = spool / "logs" / OUT
    log.write_bytes(b"other\n")
    seen = live(scene, execution_id)
    wait_for(lambda: forks.run("run", "--resume", spool).exit_code == 0)
    files = scene.files(execution_id)
    assert files["logs/stdout.log"] == b"other\n"
    assert live(scene, execution_id) == seen
    assert b"hold other bytes from byte 0 on" in files["logs/runner.log"]
    assert b"live logs are off" in files["logs/runner.log"]


def test_resumed_run_keeps_what_its_salvaged_log_lacks(
    scene: Scene, cli_process: Processes, forks: ForkServer
) -> None:
    spool = kill_ticking(cli_process, scene)
    execution_id = spool.name
    log = spool / "logs" / OUT
    with log.open("ab") as more:
        more.write(b"not live yet\n")
    whole = log.read_bytes()
    inject_later_date(scene.recorder, 3601)
    wait_for(lambda: forks.run("salvage", execution_id).exit_code == 0)
    salvaged = scene.files(execution_id)["logs/stdout.log"]
    assert len(salvaged) < len(whole)
    result = forks.run("run", "--resume", spool).expect(6)
    said = f"the stored log ends at byte {len(salvaged):,}, as when it was salvaged"
    assert said in result.err
    files = scene.files(execution_id)
    assert files["logs/stdout.log"] == salvaged
    assert files.keys() >= {"logs/stderr.log", "logs/runner.log", "artifacts/results.json"}
    kept = scene.record(execution_id)
    assert (kept["result"], kept["artifact_status"]) == ("error", "artifact_error")
    (failure,) = kept["failures"]
    assert failure["path"] == "logs/stdout.log"
    assert said in failure["error"]
    assert failure["error"].endswith(
        f"{len(whole) - len(salvaged)} more bytes are kept in {kept['run']['host']}:{log}"
    )
    assert log.read_bytes() == whole
    # What it says to type stores the whole.
    line = next(one for one in result.err.splitlines() if f"upload {execution_id} -" in one)
    words, _, source = line.partition(" <")
    forks.run(*shlex.split(words)[1:], stdin=Path(source).read_bytes()).ok()
    assert scene.files(execution_id)["artifacts/custom/whole-stdout.log"] == whole


# --- files that grow -------------------------------------------------------------------------


def test_files_that_grow_are_logs_too(scene: Scene, forks: ForkServer) -> None:
    """One is there before, one comes late and is replaced and cut short, one never comes."""
    early, late = scene.directory / "dut7.log", scene.directory / "serial: 2.txt"
    early.write_bytes(b"before\n")
    script = (
        'echo during >> "$1"; sleep 0.8; echo late > "$2"; sleep 0.8; '
        'echo new > "$2.new"; mv "$2.new" "$2"; sleep 0.8; echo . > "$2"; printf end >> "$1"'
    )
    followed = (f"{early}:bench.log", f"{late}:custom/console.txt", scene.directory / "none.txt")
    options = [word for one in followed for word in ("--follow-file", one)]
    command = ("sh", "-c", script, "sh", early, late)
    result = forks.run(*FAST, *options, "--", *command).ok()
    assert b"none.txt: no such file or directory" in result.stderr
    execution_id = run_id(result)
    files = scene.files(execution_id)
    assert files["logs/bench.log"] == b"before\nduring\nend"
    assert files["artifacts/custom/console.txt"] == b"late\nnew\n.\n"
    assert "artifacts/custom/none.txt" not in files
    segments = live(scene, execution_id, "bench.log")
    assert len(segments) > 2
    assert b"".join(segments) == files["logs/bench.log"]
    assert (
        b"".join(live(scene, execution_id, "artifacts/custom/console.txt"))
        == (files["artifacts/custom/console.txt"])
    )
    kept = scene.record(execution_id)
    assert (kept["result"], kept["artifact_status"]) == ("pass", "artifact_error")
    assert [one["path"] for one in kept["failures"]] == ["artifacts/custom/none.txt"]
    assert spools() == []


def test_file_that_is_none_is_a_failure_of_its_own(scene: Scene, forks: ForkServer) -> None:
    os.mkfifo(scene.directory / "fifo")
    options = (
        "--follow-file",
        scene.directory / "fifo",
        "--follow-file",
        f"{scene.directory}:bench.log",
    )
    result = forks.run("run", *options, "--", "true").ok()
    assert len(scene.record(run_id(result))["failures"]) == 2


def test_option_that_cannot_be_used_is_refused(scene: Scene) -> None:
    for text in ("x:", ":bench.log", "x:stdout.log", "runner.log", "x:../y"):
        assert (
            "'--follow-file'" in scene.cli("run", "--follow-file", text, "--", "true").expect(2).err
        )
    for text in ("0", "90s", "never", "-1s"):
        assert "'--live'" in scene.cli("run", "--live", text, "--", "true").expect(2).err
    twice = ("--follow-file", "a/x.log", "--follow-file", "b/x.log")
    assert "a name of its own" in scene.cli("run", *twice, "--", "true").expect(2).err
