"""Tables fit the terminal, whatever its width, and are tabs in a pipe."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.cli.output import Output
from orchestrator_cli.cli.output.colors_and_links import console_url
from orchestrator_cli.cli.output.table import Column, table
from tests.support.commands.running import RunCommand, strip_ansi
from tests.support.commands.terminal import Terminal
from tests.support.stored.executions import make_id, put_execution

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OpenTerminal = Callable[..., Terminal]
LABELS = {"branch": "feature/" + "long-" * 10, "pr": "12"}
FILES = {"artifacts/custom/" + "deep/" * 5 + "file.txt": b"x" * 2000, "logs/stdout.log": b"x"}
ID = make_id()
DIGEST = "ab" * 32
LONG_PATH = "artifacts/custom/" + "x" * 70
LONG_URL = "https://" + "orchestrator." * 5 + "example.com"


@pytest.fixture
def execution(s3: S3Client, bucket: str) -> str:
    """An execution whose every field is long."""
    return put_execution(
        s3, bucket, ID, FILES,
        test_suite="nightly-" * 6, bench_id="hil-7", labels=LABELS,
        status="completed", result="fail", ended_at="2026-01-31T10:03:04Z", artifact_count=2000,
        manifest_sha256=DIGEST,
        failures=[{"path": LONG_PATH, "error": "it is too large for " * 5}],
    )  # fmt: skip


def shown(terminal: OpenTerminal, columns: int, *arguments: str, **env: str) -> list[str]:
    screen = terminal(*arguments, columns=columns, env=env)
    assert screen.wait() == 0
    return strip_ansi(screen.output.decode()).split("\r\n")[:-1]


@pytest.mark.parametrize(
    ("columns", "header"),
    [
        (40, "EXECUTION RESULT"),
        (80, "EXECUTION STARTED RESULT SUITE DURATION"),
        (
            140,
            "EXECUTION STARTED RESULT ARTIFACTS FILES SIZE SUITE DURATION BENCH LABELS",
        ),
    ],
)
def test_no_line_is_longer_than_the_terminal(
    terminal: OpenTerminal, execution: str, columns: int, header: str
) -> None:
    listed = shown(terminal, columns, "ls")
    assert " ".join(listed[0].split()) == header
    assert listed[1].startswith(f"{execution}  ")
    assert "fail" in listed[1]
    record = shown(terminal, columns, "show", execution)
    assert re.fullmatch("result +fail", record[0])
    files = shown(terminal, columns, "ls", execution)
    # What is to be copied is whole on one line, which the terminal wraps if it has to.
    for word in (execution, DIGEST, "nightly-" * 6, min(FILES)):
        assert sum(line.endswith(f" {word}") for line in record + files) == 1
    assert max(len(line) for line in record if DIGEST in line) <= 80
    # The other words of a sentence with such a word are wrapped inside their column.
    assert any(f" {LONG_PATH}:" in line for line in record)
    assert max(len(line) for line in record if line.endswith(("is too", "large for"))) <= columns
    tree = shown(terminal, columns, "ls", execution, "--tree")
    assert any("file.txt  " in line for line in tree)
    settings = shown(terminal, columns, "config", "show", ORCHESTRATOR_UI_URL=LONG_URL)
    assert any(LONG_URL in line for line in settings)
    plan = shown(terminal, columns, "lifecycle", "plan")
    assert max(map(len, listed + plan)) <= columns
    assert all(line == line.rstrip() for line in listed + record + files + plan)


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_a_terminal_marks_an_execution_that_is_not_whole(
    s3: S3Client, bucket: str, terminal: OpenTerminal, cli: RunCommand, columns: int
) -> None:
    states = {"artifact_error": "pass", "complete": "fail", "pending": "error"}
    for number, (state, result) in enumerate(states.items()):
        put_execution(
            s3, bucket, make_id(number=number), status="completed", result=result,
            artifact_status=state, ended_at="2026-01-31T10:03:04Z",
        )  # fmt: skip
    listed = "\n".join(shown(terminal, columns, "ls"))
    found = re.findall("  (pass|fail|error)( [!…])?", listed)
    assert found == [("error", " …"), ("fail", ""), ("pass", " !")]
    assert not set("!…") & set(cli("ls").ok().out)


def test_a_pipe_gets_every_column_with_tabs_and_no_header(cli: RunCommand, execution: str) -> None:
    (row,) = cli("ls").ok().lines
    assert row.split("\t") == [
        execution, "2026-01-31 08:00:00Z", "fail", "pending", "2,000", "0 B",
        "nightly-" * 6, "2h 03m", "hil-7", f"branch={LABELS['branch']},pr=12",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "links"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, True),
        ({"VTE_VERSION": "7600"}, True),
        ({"VTE_VERSION": "4000"}, False),
        ({"TERM_PROGRAM": "Apple_Terminal"}, False),
        ({"FORCE_HYPERLINK": "1"}, True),
        ({"FORCE_HYPERLINK": "0", "TERM_PROGRAM": "iTerm.app"}, False),
        ({"TERM_PROGRAM": "iTerm.app", "NO_COLOR": "1"}, False),
    ],
)
def test_links_are_only_for_terminals_that_know_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], links: bool
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    with table(Output("auto", environment), Column("PATH", links=True)) as shown:
        shown.row("a[b]", link=console_url("results", f"executions/{ID}/a[b]"))
    target = f"https://console.aws.amazon.com/s3/object/results?prefix=executions/{ID}/a%5Bb%5D"
    assert bool(re.search(rf"\x1b]8;[^;]*;{re.escape(target)}\x1b", screen.getvalue())) is links
    assert "a[b]" in screen.getvalue()


def test_another_server_has_no_console_to_lead_to(terminal: OpenTerminal, execution: str) -> None:
    screen = terminal("ls", execution, env={"FORCE_HYPERLINK": "1"})
    assert screen.wait() == 0
    assert b"\x1b]8;" not in screen.output
