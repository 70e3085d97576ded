"""The bash completion treats names from S3 as plain text, and splits words correctly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Complete = Callable[..., tuple[list[str], list[str]]]

SCRIPT = Path(__file__).parents[2] / "completions" / "orchestrator.bash"
BASH = shutil.which("bash")
# Calls the completion with the words as bash splits them, and the cursor at the end.
DRIVER = """
source {script}
COMP_LINE=$1; shift
COMP_POINT=${{#COMP_LINE}}
COMP_CWORD=$1; shift
REPLACED=$1; shift
COMP_WORDS=("$@")
_orchestrator_completion orchestrator "$REPLACED"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def replaced(words: list[str]) -> str:
    """Return the word that readline would replace: "@" is part of it, "=" and ":" end it."""
    if words[-1] in {"=", ":"}:
        return ""
    return ("@" if words[-2] == "@" else "") + words[-1].lstrip("\"'")


def supported() -> bool:
    if BASH is None:
        return False
    command = [BASH, "-c", "[[ ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} -ge 44 ]]"]
    return subprocess.run(command, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not supported(), reason="needs bash 4.4 or newer")


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    """Complete a line with a fake orchestrator that offers fixed values."""

    def run(line: str, words: list[str], *offers: str) -> tuple[list[str], list[str]]:
        seen = tmp_path / "seen"
        program = tmp_path / "orchestrator"
        answer = "".join(f"plain,{offer}\n" for offer in offers)
        (tmp_path / "answer").write_text(answer, encoding="utf-8")
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$COMP_WORDS" "$COMP_CWORD" >{seen}\n'
            f"cat {tmp_path}/answer\n"
        )
        program.chmod(0o755)
        bash = [str(BASH), "--norc", "-c", DRIVER.format(script=SCRIPT)]
        result = subprocess.run(
            [*bash, "-", line, str(len(words) - 1), replaced(words), *words],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            check=True,
            capture_output=True,
            text=True,
        )
        assert result.stderr == ""
        return result.stdout.splitlines(), seen.read_text().splitlines()

    return run


def test_commands_are_completed(complete: Complete) -> None:
    offered, seen = complete("orchestrator u", ["orchestrator", "u"], "upload", "url")
    assert offered == ["upload", "url"]
    assert seen == ["orchestrator u", "1"]


def test_a_name_is_never_run_or_expanded_by_the_shell(complete: Complete) -> None:
    hostile = ["a b.txt", "$(touch x).txt", "*", "`id`", "quo'te", "back\\slash", "comma,s"]
    offered, _ = complete("orchestrator url X ", ["orchestrator", "url", "X", ""], *hostile)
    assert offered == [
        "a\\ b.txt", "\\$\\(touch\\ x\\).txt", "\\*", "\\`id\\`", "quo\\'te", "back\\\\slash",
        "comma\\,s",
    ]  # fmt: skip


def test_an_at_sign_is_part_of_its_word(complete: Complete) -> None:
    words = ["orchestrator", "logs", "@", "latest", "std"]
    offered, seen = complete("orchestrator logs @latest std", words, "stdout.log")
    assert offered == ["stdout.log"]
    assert seen == ["orchestrator logs @latest std", "3"]


@pytest.mark.parametrize(
    ("line", "words", "offer", "expected"),
    [
        ("orchestrator logs @la", ["orchestrator", "logs", "@", "la"], "@latest", "@latest"),
        ("orchestrator logs @", ["orchestrator", "logs", "@"], "@latest", "@latest"),
        ("orchestrator url X a:b", ["orchestrator", "url", "X", "a", ":", "b"], "a:bc", "bc"),
        ("orchestrator --color=al", ["orchestrator", "--color", "=", "al"], "always", "always"),
    ],
)
def test_only_the_rest_of_a_broken_word_is_replied(
    complete: Complete, line: str, words: list[str], offer: str, expected: str
) -> None:
    assert complete(line, words, offer)[0] == [expected]


def test_inside_a_quote_only_plain_names_are_offered(complete: Complete) -> None:
    words = ["orchestrator", "url", "X", '"a']
    assert complete('orchestrator url X "a', words, "abc", "a$(id)")[0] == ["abc"]
