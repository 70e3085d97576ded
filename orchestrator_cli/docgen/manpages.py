"""The manual pages of section 1: one for the program, and one for each command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator_cli.docgen import roff
from orchestrator_cli.docgen.command_tree import PROGRAM, CommandReference, Parameter
from orchestrator_cli.docgen.environment import Variable

API_PAGE = f"{PROGRAM}-api"
JSON_PAGE = f"{PROGRAM}-json"
LAYOUT_PAGE = f"{PROGRAM}-layout"
RETENTION_PAGE = f"{PROGRAM}-retention"
SCALE_PAGE = f"{PROGRAM}-scale"
ADAPTER_PAGE = f"{PROGRAM}-bench-adapter"
DEPLOY_PAGE = f"{PROGRAM}-deployment"
METRICS_PAGE = f"{PROGRAM}-metrics"
BENCHMARKS_PAGE = f"{PROGRAM}-benchmarks"
PYTHON_PAGE = f"{PROGRAM}-python"
OVERVIEWS = tuple(
    f"{page}(7)"
    for page in (
        API_PAGE,
        ADAPTER_PAGE,
        BENCHMARKS_PAGE,
        DEPLOY_PAGE,
        JSON_PAGE,
        LAYOUT_PAGE,
        METRICS_PAGE,
        PYTHON_PAGE,
        RETENTION_PAGE,
        SCALE_PAGE,
    )
)
_ENVIRONMENT = (
    "The variables of options are named with them above. Those that all commands read are "
    f"described in `{PROGRAM}(1)`."
)


def render_command(
    command: CommandReference, version: str, meanings: Mapping[int, str], see_also: Iterable[str]
) -> str:
    """Return the page of one command. `meanings` are those of the exit codes."""
    lines = _head(command, version)
    lines += _parameters("arguments", command.arguments)
    lines += _parameters("options", command.options)
    lines += _examples(command)
    lines += _exit_status(command.exit_codes, {**meanings, **command.exit_meanings})
    lines += roff.section("environment")
    lines += roff.paragraph(_ENVIRONMENT)
    lines += _see_also(see_also)
    return roff.render(lines)


def render_program(
    program: CommandReference,
    commands: Iterable[CommandReference],
    version: str,
    meanings: Mapping[int, str],
    variables: Iterable[Variable],
) -> str:
    """Return the page of the program itself, with every exit code and variable."""
    commands = tuple(commands)
    lines = _head(program, version)
    lines += _parameters("options", program.options)
    lines += roff.section("commands")
    for command in commands:
        lines += roff.tagged(roff.bold(command.invocation), command.summary)
    lines += _examples(program)
    lines += _exit_status(meanings, meanings)
    lines += roff.section("environment")
    for variable in variables:
        lines += roff.tagged(roff.bold(variable.name), variable.meaning)
    lines += _see_also([*(f"{command.page_name}(1)" for command in commands), *OVERVIEWS])
    return roff.render(lines)


def _head(command: CommandReference, version: str) -> list[str]:
    name, summary = command.page_name, command.summary.rstrip(".")
    lines = roff.title(name, 1, f"{PROGRAM} {version}")
    lines += [*roff.section("name"), f"{roff.escape(name)} \\- {roff.inline(summary)}"]
    lines += [*roff.section("synopsis"), _synopsis(command)]
    lines += roff.section("description")
    for text in command.description:
        lines += _prose(text)
    return lines


def _synopsis(command: CommandReference) -> str:
    rest = command.usage.removeprefix(command.invocation)
    return roff.bold(command.invocation) + roff.escape(rest)


def _prose(text: str) -> list[str]:
    if text.startswith("\b"):
        return roff.literal(text.removeprefix("\b").strip("\n").splitlines())
    return roff.paragraph(text)


def _parameters(heading: str, parameters: Iterable[Parameter]) -> list[str]:
    lines: list[str] = []
    for parameter in parameters:
        if not _details(parameter):
            continue
        names = ", ".join(roff.bold(name) for name in parameter.names)
        metavar = f" \\fI{roff.escape(parameter.metavar)}\\fR" if parameter.metavar else ""
        lines += roff.tagged(names + metavar, *_details(parameter))
    return [*roff.section(heading), *lines] if lines else []


def _details(parameter: Parameter) -> list[str]:
    details = [parameter.help, *(f"{note[0].upper()}{note[1:]}." for note in parameter.notes)]
    if parameter.environment:
        details.append(f"Environment: {', '.join(f'`{name}`' for name in parameter.environment)}.")
    return [detail for detail in details if detail]


def _examples(command: CommandReference) -> list[str]:
    lines = roff.section("examples") if command.examples else []
    for example in command.examples:
        lines += roff.paragraph(f"{example.text[0].upper()}{example.text[1:].rstrip('.:')}:")
        lines += roff.literal(example.command.splitlines())
    return lines


def _exit_status(codes: Iterable[int], meanings: Mapping[int, str]) -> list[str]:
    lines = roff.section("exit status")
    for code in codes:
        lines += roff.tagged(roff.bold(str(code)), _sentence(meanings[code]))
    return lines


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _see_also(pages: Iterable[str]) -> list[str]:
    entries = []
    for page in pages:
        name, _, rest = page.partition("(")
        entries.append(f"{roff.bold(name)}({rest}")
    return [*roff.section("see also"), ",\n".join(entries)]
