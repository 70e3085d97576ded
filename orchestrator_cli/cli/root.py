"""The root command: the global options, and the settings that they become."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli import __version__
from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.config_file import config_file, load_config
from orchestrator_cli.cli.configuration.option_names import option_names_of
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.cli.lazy_group import PROBLEM_KEY, LazyGroup
from orchestrator_cli.cli.options.demand_options import demand_options
from orchestrator_cli.cli.options.types import DURATION
from orchestrator_cli.cli.usage_errors.usage_text import CONFIG_FILE_KEY, HintedUsageError
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable, without_secrets


@click.group(
    cls=LazyGroup,
    context_settings={
        "auto_envvar_prefix": "ORCHESTRATOR",
        "help_option_names": ["-h", "--help"],
    },
)
@click.option("--bucket", metavar="B", help="The bucket that holds the executions.")
@click.option("--profile", metavar="P", help="The AWS profile, like AWS_PROFILE.")
@click.option("--region", metavar="R", help="The bucket's region, like AWS_REGION.")
@click.option(
    "--endpoint-url", metavar="U", help="An S3 server other than AWS, like AWS_ENDPOINT_URL."
)
@click.option("--ui-url", metavar="URL", help="Where `serve` has its pages, for links to them.")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, param, value: _apply_config(ctx, value),
    help="A TOML file with defaults.  [default: ~/.config/orchestrator/config.toml]",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="When to use colour. NO_COLOR and FORCE_COLOR work too.",
)
@click.option(
    "--patience",
    type=DURATION,
    help="How long to go on while S3 asks for fewer requests and none succeeds.  [default: 10m]",
)
@demand_options
@click.option("-q", "--quiet", is_flag=True, help="Print only errors on standard error.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Print every file and every retry on standard error."
)
@click.option("--debug", is_flag=True, help="Show tracebacks with errors.")
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    callback=lambda ctx, param, value: _print_version(ctx, value),
    help="Show the versions and the endpoint, and exit.",
)
@click.pass_context
def cli(ctx: click.Context, /, quiet: bool, verbose: bool, **settings: Any) -> None:
    """Keep, find and share the output of test runs in S3.

    Every execution has a ULID; its logs and artifacts are immutable objects under
    executions/<id>/. Credentials, region and endpoint come from the AWS configuration.
    Every option can be set as ORCHESTRATOR_<OPTION> or ORCHESTRATOR_<COMMAND>_<OPTION>; one that
    may be repeated takes one value a line there.
    """
    if quiet and verbose:
        raise HintedUsageError("--quiet and --verbose exclude each other.", "leave out one of them")
    # The run's own App, which also has to know about --debug when all this has ended.
    ctx.ensure_object(App).settings = Settings(
        verbosity=int(verbose) - int(quiet), problem=ctx.meta.get(PROBLEM_KEY), **settings
    )


def _print_version(ctx: click.Context, wanted: bool) -> None:
    """Print the versions of this program, Python and libcurl, and the endpoint, for bug reports."""
    if not wanted or ctx.resilient_parsing:
        return
    import platform

    from orchestrator_cli.cli.configuration.aws_settings import aws_setting
    from orchestrator_cli.core.http.curl.version import curl_version

    names = ("bucket", "profile", "region", "endpoint_url")
    bucket, profile, region, endpoint_url = map(ctx.params.get, names)
    app = App(Settings(bucket, profile, region, endpoint_url))
    try:
        endpoint = without_secrets(aws_setting(app.settings, "endpoint-url"))
    except OrchestratorError as error:
        endpoint = f"unknown: {error.message}"
    click.echo(f"orchestrator {__version__}")
    click.echo(f"python {platform.python_version()} on {platform.platform(terse=True)}")
    click.echo(curl_version())
    click.echo(f"endpoint {printable(endpoint)}")
    ctx.exit()


def _apply_config(ctx: click.Context, path: str | None) -> None:
    def option_names(command_name: str) -> dict[str, str] | None:
        # Imports a command only when the file has a table for it.
        command: click.Command | None = cli
        for name in command_name.split():
            command = command.get_command(ctx, name) if isinstance(command, click.Group) else None
        return None if command is None else option_names_of(command)

    ctx.meta[CONFIG_FILE_KEY] = printable(config_file(path))
    if PROBLEM_KEY in ctx.meta:
        return
    try:
        ctx.default_map = load_config(path, option_names)
    except UsageError:
        # While completing, what is wrong with the file is not the matter.
        if not ctx.resilient_parsing:
            raise
