"""The tour that `make demo` runs does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.commands.running import PROJECT, Processes

SCRIPT = str(PROJECT / ".ci" / "demo.sh")
TOOLS = Path(sys.executable).parent

needs_installed_command = pytest.mark.skipif(
    not (TOOLS / "orchestrator").exists(), reason="the command is not installed; see `make test`"
)


@needs_installed_command
def test_the_tour_succeeds(s3env: dict[str, str], cli_process: Processes, tmp_path: Path) -> None:
    path = os.pathsep.join([str(TOOLS), os.environ["PATH"]])
    env = {"PATH": path, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    result = cli_process.run(command=("bash", SCRIPT), env=env).expect(0)
    assert "0 created, 4 identical; 0 B sent" in result.out
    assert "\nexit 6\n" in result.out
    assert "\x1b[31mFAILED" in result.out  # the log's own colours, passed on
    assert "\nhello from the bench\n" in result.out
    assert ": pass, exit code 0; 4 files" in result.out
    assert "1 created" in result.out
    assert "\nexit 3\n" in result.out
    assert "logs/stdout.log: created" in result.out
    assert "1 deleted" in result.out
    assert result.err == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_bucket_it_says_how_to_run_it(cli_process: Processes) -> None:
    result = cli_process.run(command=("bash", SCRIPT))
    assert result.exit_code == 2
    assert "orchestrator sandbox -- bash .ci/demo.sh" in result.err
