"""What a command imports is what it pays for: help must not wait for S3's clients."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator_cli.cli import COMMANDS
from tests.support.running import process_environment

# One process for all lines, so that each costs only what it newly imports.
PROBE = """
import io, sys
from orchestrator_cli.cli import main
for line in sys.argv[1:]:
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        main(line.split())
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
    text, sys.stdout = sys.stdout.getvalue(), out
    assert text.strip(), line
    heavy = {"boto3", "botocore", "obstore", "pydantic", "rich", "moto", "flask", "urllib3"}
    found = sorted(heavy & set(sys.modules))
    assert not found, f"{line} imports {found}"
    print(text, end="")
"""


def probe(*lines: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", PROBE, *lines],
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_help_and_version_import_no_client() -> None:
    assert "Usage: orchestrator [OPTIONS] COMMAND" in probe("--help")
    assert probe("--version").startswith("orchestrator ")


def test_the_help_of_every_command_imports_no_client() -> None:
    text = probe(*(f"{name} --help" for name in COMMANDS))
    for name in COMMANDS:
        assert f"Usage: orchestrator {name} " in text


@pytest.mark.parametrize("line", ["--help", "--version", "-h"])
def test_help_imports_no_command(line: str) -> None:
    script = (
        f"{PROBE}\nprint(sorted(one for one in sys.modules if one.startswith("
        "'orchestrator_cli.commands.')), file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, line],
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stderr == "[]\n"
