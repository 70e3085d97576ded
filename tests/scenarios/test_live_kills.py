"""Whatever is killed of a run, and whenever: what was live stays the beginning of the final log.

SIGKILL strikes the command, `run`, the process that stores, and each combination of them, when the
proxy has seen the k-th event of the run. Each kill is one test; the first few are run by default.
More of them, or others: LIVE_KILLS=50 LIVE_KILL_SEED=<number>.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator_cli.core.executions.keys import live_log_prefix, live_state_key
from orchestrator_cli.core.live.state import parse_state
from tests.runner.test_run import wait_for
from tests.support.commands.commands_run import spools
from tests.support.commands.running import Processes
from tests.support.proxy.killing import Killer, KillPoint
from tests.support.scene import Scene
from tests.support.stored.live import inject_later_date

KILLS = int(os.environ.get("LIVE_KILLS", "4"))
SEED = int(os.environ.get("LIVE_KILL_SEED", "18"))
COMMAND, RUN, STORING = "command", "run", "storing process"
VICTIMS = (
    {COMMAND, RUN, STORING},
    {STORING},
    {RUN, STORING},
    {RUN},
    {COMMAND, RUN},
    {COMMAND, STORING},
    {COMMAND},
)
LAST_EVENT = 60
# Lines of all lengths, at times of their own, for ever or until the command ends by itself.
LINES = (40, 1_000_000)
SCRIPT = r"""
echo $$; i=0
while [ $i -lt $1 ]; do i=$((i+1)); printf '%*d\n' $((i % 50 + 1)) $i; sleep 0.01; done
"""


class Victims:
    """The processes of one run by their names, and which of them are killed."""

    def __init__(self, process: subprocess.Popen[bytes], names: set[str]) -> None:
        assert process.stdout is not None
        command = int(process.stdout.readline())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (storing,) = {int(one) for one in children} - {command}
        self.first_line = b"%d\n" % command
        self._process = process
        self._pids = {COMMAND: -command, RUN: process.pid, STORING: storing}
        self._names = names

    def kill(self, number: int = signal.SIGKILL) -> None:
        for name in self._names:
            # One may have ended by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pids[name], number)

    def end_the_rest(self) -> None:
        """End the command, and wait until the others have ended by themselves."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pids[COMMAND], signal.SIGKILL)
        self._process.communicate(timeout=60)
        if STORING not in self._names:
            wait_for(lambda: not spools())


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_run_loses_nothing_that_was_live(
    scene: Scene, cli_process: Processes, number: int
) -> None:
    chance = random.Random(SEED * 1000 + number)
    names = VICTIMS[number % len(VICTIMS)]
    killer = Killer(KillPoint(chance.randrange(1, LAST_EVENT), signal.SIGKILL, chance.random()))
    scene.recorder.inject(killer, times=None)
    most_lines = chance.choice(LINES)
    command = ("sh", "-c", SCRIPT, "sh", str(most_lines))
    process = cli_process.start("run", "--live", "0.2s", "--", *command)
    victims = Victims(process, names)
    killer.aim(victims.kill)
    (spool,) = spools()
    execution_id = spool.name
    wait_for(lambda: killer.struck or process.poll() is not None)
    victims.end_the_rest()
    scene.recorder.outlast_clients()
    scene.recorder.heal()
    before = segments(scene, execution_id)

    if spools():
        date = inject_later_date(scene.recorder, 301)
        if is_alive_without_end(scene, execution_id):
            assert scene.cli("show", execution_id, "--json").ok().json()["liveness"] == "lost"
            listed = scene.cli("ls", "--json").ok().json_lines()
            assert [one["liveness"] for one in listed] == ["lost"]
        date.seconds = 0
        cli_process.run("run", "--resume", spool).ok()
    assert spools() == []
    final = scene.files(execution_id)["logs/stdout.log"]
    first, *lines = final.splitlines(keepends=True)
    assert first == victims.first_line
    # A last one may have been cut, as its writer was killed.
    assert [int(line) for line in lines if line.endswith(b"\n")] == list(range(1, len(lines) + 1))
    after = segments(scene, execution_id)
    assert after[: len(before)] == before
    if after:
        assert (b"".join(after), after[-1]) == (final, b"")
    kept = scene.record(execution_id)
    told = (kept["status"], kept["artifact_status"], kept["failures"])
    assert told == ("completed", "complete", [])
    assert kept["result"] == "error" or (kept["result"], len(lines)) == ("pass", most_lines)
    assert scene.cli("show", execution_id, "--json").ok().json()["liveness"] is None


def segments(scene: Scene, execution_id: str) -> list[bytes]:
    """Return what is live of standard output: there is no gap in it."""
    prefix = live_log_prefix(execution_id, "stdout.log")
    found = scene.contents(prefix)
    sizes = [len(content) for content in found.values()]
    assert list(found) == [f"{prefix}{sum(sizes[:n]):020d}" for n in range(len(sizes))]
    return list(found.values())


def is_alive_without_end(scene: Scene, execution_id: str) -> bool:
    key = live_state_key(execution_id)
    content = scene.contents(key).get(key)
    is_made = scene.contents(f"executions/{execution_id}/metadata.json")
    return bool(is_made) and content is not None and not parse_state(content, key).ended
