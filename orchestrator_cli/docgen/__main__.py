"""`python -m orchestrator_cli.docgen [--check]`: write the generated files, or compare them."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli import __version__
from orchestrator_cli.cli.completion.shells import SHELLS, render_script
from orchestrator_cli.cli.main import cli
from orchestrator_cli.core.base.errors import EXIT_CODES
from orchestrator_cli.docgen import checks, manpages, reference
from orchestrator_cli.docgen.benchmarks_chart import render_benchmarks_chart
from orchestrator_cli.docgen.command_tree import PROGRAM, read_commands, read_program
from orchestrator_cli.docgen.environment import global_variables
from orchestrator_cli.docgen.pages.adapter import render_adapter_page
from orchestrator_cli.docgen.pages.api import render_api_page
from orchestrator_cli.docgen.pages.benchmarks import render_benchmarks_page
from orchestrator_cli.docgen.pages.deploy import render_deploy_page
from orchestrator_cli.docgen.pages.json import render_json_page
from orchestrator_cli.docgen.pages.layout import render_layout_page
from orchestrator_cli.docgen.pages.metrics import render_metrics_page
from orchestrator_cli.docgen.pages.python import render_python_page
from orchestrator_cli.docgen.pages.retention import render_retention_page
from orchestrator_cli.docgen.pages.scale import render_scale_page

CHART = Path("man", "benchmarks.svg")
REFERENCE = Path("man", "REFERENCE.md")
# A new page of section 7 needs a line here, and its name in OVERVIEWS of manpages.py.
PAGES = {
    manpages.API_PAGE: render_api_page,
    manpages.BENCHMARKS_PAGE: render_benchmarks_page,
    manpages.ADAPTER_PAGE: render_adapter_page,
    manpages.DEPLOY_PAGE: render_deploy_page,
    manpages.JSON_PAGE: render_json_page,
    manpages.LAYOUT_PAGE: render_layout_page,
    manpages.METRICS_PAGE: render_metrics_page,
    manpages.PYTHON_PAGE: render_python_page,
    manpages.RETENTION_PAGE: render_retention_page,
    manpages.SCALE_PAGE: render_scale_page,
}


def render_all() -> dict[Path, str]:
    """Return every generated file by its path in the repository."""
    program, commands = read_program(cli), read_commands(cli)
    variables = global_variables(program)
    files = {
        Path("man", f"{PROGRAM}.1"): manpages.render_program(
            program, commands, __version__, EXIT_CODES, variables
        ),
        CHART: render_benchmarks_chart(),
    }
    for name, render_page in PAGES.items():
        files[Path("man", f"{name}.7")] = render_page(__version__)
    see_also = (f"{PROGRAM}(1)", *manpages.OVERVIEWS)
    for command in commands:
        page = manpages.render_command(command, __version__, EXIT_CODES, see_also)
        files[Path("man", f"{command.page_name}.1")] = page
    for shell in SHELLS:
        files[Path("completions", f"{PROGRAM}.{shell}")] = render_script(cli, shell)
    files[REFERENCE] = reference.render_reference_page(program, commands, EXIT_CODES, variables)
    return files


def list_undocumented() -> list[str]:
    """Return a line for everything in the commands that is not documented."""
    return checks.list_undocumented([read_program(cli), *read_commands(cli)], EXIT_CODES)


def list_present(root: Path) -> list[Path]:
    """Return the generated files that exist."""
    patterns = (f"man/{PROGRAM}*", str(CHART), str(REFERENCE), f"completions/{PROGRAM}.*")
    return [path.relative_to(root) for pattern in patterns for path in root.glob(pattern)]


def write(files: dict[Path, str], root: Path) -> None:
    """Write the generated files, and remove those that are not generated any more."""
    for path in list_present(root):
        if path not in files:
            (root / path).unlink()
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a file would change.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The repository; by default the current directory.",
)
def main(check: bool, root: Path) -> None:
    """Write man/ and completions/."""
    problems = list_undocumented()
    files = render_all()
    if check:
        problems += checks.list_drift(files, root, list_present(root))
    else:
        write(files, root)
    for problem in problems:
        click.echo(problem, err=True)
    if check and problems:
        click.echo('run "make docs" and commit what it writes', err=True)
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
