"""A test that runs here is followed from somewhere else, with nothing but the bucket between."""

from __future__ import annotations

from pathlib import Path

from tests.runner.test_run import wait_for
from tests.support.commands.commands_run import spools
from tests.support.commands.running import Processes
from tests.support.scene import Scene

# It goes on once somebody has seen what it has printed so far.
SCRIPT = "echo line 1; until [ -e seen ]; do sleep 0.05; done; echo line 2; printf 'no newline'"


def test_follower_prints_what_the_run_stores_at_last_and_ends_with_it(
    scene: Scene, cli_process: Processes
) -> None:
    process = cli_process.start("run", "--live", "0.3s", "--", "sh", "-c", SCRIPT)
    wait_for(spools)
    (spool,) = spools()
    key = f"executions/{spool.name}/metadata.json"
    wait_for(lambda: scene.list_keys(key))
    follower = cli_process.start("logs", "-f", spool.name, "stdout.log")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"line 1\n"
    Path("seen").touch()
    rest = follower.stdout.read()
    assert follower.wait(60) == 0
    assert process.wait(60) == 0
    final = scene.files(spool.name)["logs/stdout.log"]
    assert b"line 1\n" + rest == final == b"line 1\nline 2\nno newline"
