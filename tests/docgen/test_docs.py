"""Every command is documented, generated files are up to date, and examples work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator_cli.cli.main import cli
from orchestrator_cli.docgen import checks, roff
from orchestrator_cli.docgen.__main__ import list_undocumented, main, render_all
from orchestrator_cli.docgen.benchmarks_chart import OURS
from orchestrator_cli.docgen.command_tree import (
    PROGRAM,
    CommandReference,
    read_commands,
    read_program,
    split_paragraphs,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = read_commands(cli)
EXAMPLES = [
    pytest.param(example.command, id=f"{command.page_name}-{number}")
    for command in COMMANDS
    for number, example in enumerate(command.examples)
]
REFERENCE = (ROOT / "man" / "REFERENCE.md").read_text(encoding="utf-8")
REFERENCE_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", REFERENCE, re.DOTALL | re.MULTILINE)
README_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the generated files."""
    for name in ("man", "completions"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def run_docgen(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


# --- the commands ----------------------------------------------------------------------------


def test_every_command_has_help_examples_and_exit_codes() -> None:
    assert list_undocumented() == []


def test_every_command_documents_success_and_wrong_usage() -> None:
    assert [c.name for c in COMMANDS if not {0, 2} <= set(c.exit_codes)] == []


@pytest.mark.parametrize(
    "command", [read_program(cli), *COMMANDS], ids=lambda command: command.page_name
)
def test_every_option_has_the_variable_that_the_readme_promises(command: CommandReference) -> None:
    for option in command.options:
        if option.main_name not in ("--help", "--version"):
            promised = f"{command.invocation} {option.main_name.removeprefix('--')}".upper()
            assert option.environment == (re.sub(r"[ -]", "_", promised),)


@pytest.mark.parametrize("line", EXAMPLES)
def test_example_parses(line: str) -> None:
    assert list(parse_line(line)), f"no {PROGRAM} command in: {line}"


def test_readme_command_lines_parse() -> None:
    scripts = [text for language, text in README_BLOCKS if language in ("sh", "console")]
    assert [one for script in scripts for one in parse_line(script)]


@pytest.mark.parametrize("line", ["orchestrator nonsense", "orchestrator ls --nonsense"])
def test_an_invalid_command_line_does_not_parse(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        list(parse_line(line))


def parse_line(line: str) -> Iterator[str]:
    """Parse every orchestrator command of shell text; yield its name."""
    text = re.sub(r"(^|\s)#.*", "", line.replace("\\\n", " "), flags=re.MULTILINE)
    while inner := re.search(r"\$\(([^()]*)\)", text):
        yield from parse_line(inner[1])
        text = text.replace(inner[0], "SUBSTITUTED")
    for row in text.splitlines():
        lexer = shlex.shlex(row, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        yield from parse_words(list(lexer))


def parse_words(words: list[str]) -> Iterator[str]:
    starts = [i for i, word in enumerate(words) if word == PROGRAM and "--" not in words[:i]]
    for start in starts:
        rest = words[start + 1 :]
        end = next((i for i, word in enumerate(rest) if set(word) <= set("|&;<>")), len(rest))
        yield parse_command(rest[:end])


def parse_command(arguments: list[str]) -> str:
    context = click.Context(cli, info_name=PROGRAM)
    values, rest, _ = cli.make_parser(context).parse_args(list(arguments))
    check_values(cli, context, values)
    if not rest:
        return ""
    command = cli.get_command(context, rest[0])
    assert command is not None, f"no such command: {rest[0]}"
    inner = click.Context(command, info_name=rest[0], parent=context)
    if isinstance(command, click.Group) and len(rest) > 1:
        rest = rest[1:]
        command = command.get_command(inner, rest[0])
        assert command is not None, f"no such command: {rest[0]}"
        inner = click.Context(command, info_name=rest[0], parent=inner)
    values, unexpected, _ = command.make_parser(inner).parse_args(rest[1:])
    assert unexpected == []
    check_values(command, inner, values)
    return rest[0]


def check_values(command: click.Command, context: click.Context, values: dict[str, object]) -> None:
    """Convert the given options, except paths, which need not exist."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    for option in options:
        if option.name in values and not isinstance(option.type, (click.Path, click.File)):
            option.type_cast_value(context, values[option.name])


# --- the generated files ---------------------------------------------------------------------


def test_generated_files_are_up_to_date() -> None:
    assert run_docgen("--check", "--root", ROOT) == (0, "")


def test_check_names_each_drifted_file_and_writes_nothing(tree: Path) -> None:
    page = tree / "man" / "orchestrator-upload.1"
    page.write_text(page.read_text(encoding="utf-8").replace("SYNOPSIS", "SYNOPSYS"))
    (tree / "completions" / "orchestrator.fish").unlink()
    (tree / "man" / "orchestrator-gone.1").touch()
    before = page.read_bytes()

    code, output = run_docgen("--check", "--root", tree)

    assert code == 1
    assert "man/orchestrator-upload.1: not up to date" in output
    assert "-.SH SYNOPSYS" in output
    assert "+.SH SYNOPSIS" in output
    assert "completions/orchestrator.fish: missing" in output
    assert "man/orchestrator-gone.1: belongs to no command any more" in output
    assert "make docs" in output
    assert page.read_bytes() == before


def test_check_finds_a_drifted_reference(tree: Path) -> None:
    reference = tree / "man" / "REFERENCE.md"
    reference.write_text(reference.read_text(encoding="utf-8").replace("conflict", "peace"))

    code, output = run_docgen("--check", "--root", tree)

    assert code == 1
    assert "man/REFERENCE.md: not up to date" in output


def test_writing_repairs_the_tree(tree: Path) -> None:
    (tree / "man" / "orchestrator-gone.1").touch()
    shutil.rmtree(tree / "completions")

    assert run_docgen("--root", tree) == (0, "")
    assert run_docgen("--check", "--root", tree) == (0, "")


def test_output_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = render_all()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setenv("ORCHESTRATOR_BUCKET", "somewhere")
    monkeypatch.setenv("ORCHESTRATOR_COLOR", "always")
    monkeypatch.setenv("PATH", "")
    assert render_all() == expected


def test_missing_documentation_is_named() -> None:
    @click.group()
    def root() -> None:
        """Do things."""

    @root.command()
    @click.option("--bare")
    def quiet(bare: str) -> None:
        pass

    problems = checks.list_undocumented(read_commands(root), {0})

    assert problems == [
        "orchestrator quiet: no help",
        "orchestrator quiet: no examples",
        "orchestrator quiet: no exit codes",
        "orchestrator quiet --bare TEXT: no help",
    ]


# --- the formats -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((ROOT / "man").glob("*.[1-9]")), ids=lambda page: page.name)
def test_manual_page_is_plain_roff(page: Path) -> None:
    known = {'.\\"', ".TH", ".ad", ".SH", ".PP", ".TP", ".br", ".RS", ".RE", ".EX", ".EE"}
    text = page.read_text(encoding="utf-8")
    requests = {line.split(" ")[0] for line in text.splitlines() if line.startswith((".", "'"))}
    assert text.isascii()
    assert requests <= known
    if page.suffix == ".1":
        assert re.search(r"^\.SH EXIT STATUS$", text, re.MULTILINE)


def test_text_is_escaped_for_roff() -> None:
    assert roff.inline(".TH `a-b` \\n “x”") == r"\&.TH \%\fBa\-b\fR \en \[u201C]x\[u201D]"
    assert roff.inline("'quoted' ~/x ^y") == r"\&\(aqquoted\(aq \(ti/x \(hay"


def test_help_is_split_as_click_shows_it() -> None:
    help_text = """First
    line.

    \b
    kept  as
      it is

    Last.\f
    Not shown.
    """
    assert split_paragraphs(help_text) == ("First line.", "\b\nkept  as\n  it is", "Last.")


def test_the_policies_of_the_reference_are_json() -> None:
    policies = [json.loads(text) for language, text in REFERENCE_BLOCKS if language == "json"]
    assert len(policies) >= 3


def test_the_configuration_file_of_the_reference_is_accepted(tmp_path: Path) -> None:
    (text,) = (text for language, text in REFERENCE_BLOCKS if language == "toml")
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    arguments = ["--config", str(tmp_path / "config.toml"), "upload", "--help"]
    command = [sys.executable, "-m", "orchestrator_cli", *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow
def test_readme_tour_runs(tmp_path: Path) -> None:
    (tour,) = (text for _, text in README_BLOCKS if "# Something to store." in text)
    binaries = Path(sys.executable).parent
    result = subprocess.run(
        [binaries / PROGRAM, "sandbox", "--", "bash", "-euo", "pipefail", "-c", tour],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "ERROR: no answer" in result.stdout
    assert "5 ok" in result.stderr


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(bucket: str, tmp_path: Path) -> None:
    (example,) = (text for language, text in README_BLOCKS if language == "python")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "stdout.log").write_text("a log\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", example.replace("test-results", bucket)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "/logs/stdout.log?" in result.stdout


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        assert (ROOT / name).exists(), target
        if anchor:
            assert anchor in _anchors((ROOT / name).read_text(encoding="utf-8")), target


def test_readme_has_the_figures_of_the_benchmarks_page() -> None:
    measured = json.loads(
        (ROOT / "orchestrator_cli/docgen/text/benchmarks.json").read_text(encoding="utf-8")
    )
    (tools,) = (
        one["tools"]
        for one in measured["results"]
        if one["workload"] == "small-upload" and one["server"] == "sink"
    )
    boto3, crt, ours = (
        f"{tools[name]['wall_seconds']:.2f} s" for name in ("boto3", "boto3 with CRT", OURS)
    )
    (section,) = re.findall(r"^## How fast$(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    assert f"took {boto3} with it, {crt} with its CRT and {ours} with `orchestrator`" in section
