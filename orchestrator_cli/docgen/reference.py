"""The reference in Markdown: man/REFERENCE.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template

from orchestrator_cli.cli.options import Example
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy
from orchestrator_cli.docgen.command_tree import CommandReference, Parameter
from orchestrator_cli.docgen.environment import Variable
from orchestrator_cli.infrastructure.bucket_policy import BucketProtection, bucket_policy
from orchestrator_cli.infrastructure.iam import key_arns
from orchestrator_cli.infrastructure.target import bucket_arn

_EXAMPLE_BUCKET = "test-results"
_BEFORE_THE_COMMAND = (
    "They can be given before and after the command. Every option has an environment variable: "
    "`ORCHESTRATOR_<OPTION>` for these, `ORCHESTRATOR_<COMMAND>_<OPTION>` for those of a command, "
    "with `_` for `-`."
)


def render_reference_page(
    program: CommandReference,
    commands: Iterable[CommandReference],
    exit_codes: Mapping[int, str],
    variables: Iterable[Variable],
) -> str:
    """Return man/REFERENCE.md: the help of every command, readable on a forge."""
    template = resources.files("orchestrator_cli.docgen").joinpath("text", "reference.md")
    policy = RetentionPolicy()
    return Template(template.read_text(encoding="utf-8")).substitute(
        reference=render_reference(program, commands),
        abort_days=policy.abort_uploads_days,
        archive_days=policy.archive_after_days,
        history_days=policy.history_days,
        write_once_policy=_write_once_policy(),
        exit_codes=render_exit_codes(exit_codes),
        environment=render_environment(variables),
    )


def render_reference(program: CommandReference, commands: Iterable[CommandReference]) -> str:
    """Return the options of the program and one section a command."""
    blocks = ["## Global options", _BEFORE_THE_COMMAND, _options(program)]
    for command in commands:
        blocks += _command(command)
    return "\n\n".join(blocks)


def render_exit_codes(meanings: Mapping[int, str]) -> str:
    """Return the table of exit codes."""
    return _table(("exit", "meaning"), ((str(code), text) for code, text in meanings.items()))


def render_environment(variables: Iterable[Variable]) -> str:
    """Return the table of environment variables."""
    rows = ((_codes(variable.name.split(", ")), variable.meaning) for variable in variables)
    return _table(("variable", "meaning"), rows)


def _write_once_policy() -> str:
    arn = key_arns(bucket_arn(_EXAMPLE_BUCKET, None))
    return json.dumps(bucket_policy(BucketProtection(write_once=True), arn), indent=2)


def _command(command: CommandReference) -> list[str]:
    blocks = [f"## {command.invocation}", *map(_prose, command.description)]
    blocks.append(_fenced("text", [command.usage]))
    described = [argument for argument in command.arguments if argument.help]
    if described:
        blocks.append(
            _table(("argument", "meaning"), ((_code(a.label), a.help) for a in described))
        )
    blocks.append(_options(command))
    blocks.append(_fenced("sh", _example_lines(command.examples)))
    blocks.append("Exit codes: " + ", ".join(map(str, command.exit_codes)) + ".")
    return [block for block in blocks if block]


def _prose(text: str) -> str:
    if text.startswith("\b"):
        return _fenced("text", text.removeprefix("\b").strip("\n").splitlines())
    return _text(text)


def _options(command: CommandReference) -> str:
    shown = [option for option in command.options if "--help" not in option.names]
    rows = ((_code(option.label), _meaning(option)) for option in shown)
    return _table(("option", "meaning"), rows) if shown else ""


def _meaning(option: Parameter) -> str:
    notes = [f"{note[0].upper()}{note[1:]}." for note in option.notes]
    return " ".join([option.help, *notes])


def _example_lines(examples: Iterable[Example]) -> list[str]:
    lines: list[str] = []
    for example in examples:
        lines += [f"# {example.text}", *example.command.splitlines()]
    return lines


def _fenced(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {_cell(left)} | {_cell(right)} |" for left, right in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    # Outside of `code`, a placeholder such as <id> would be read as HTML.
    pieces = text.split("`")
    return "`".join(p if i % 2 else p.replace("<", "&lt;") for i, p in enumerate(pieces))
