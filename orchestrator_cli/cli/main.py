"""The root group, and the one place where an error becomes an exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from orchestrator_cli import __version__
from orchestrator_cli.cli.app import App, Settings, debug_from_environment, load_config
from orchestrator_cli.cli.options import OncePerOption, global_options
from orchestrator_cli.core.base.descriptors import WaitingWriter
from orchestrator_cli.core.base.errors import (
    RESUME_HINT,
    InterruptedByUser,
    OrchestratorError,
    PartialFailureError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable, without_secrets

# More than metadata.json ever has.
_LONGEST_LINE_BYTES = 1024 * 1024
_LAST_LINE_SECONDS = 2.0

# The help of a group lists its commands; with their help here it need not import them.
COMMANDS: dict[str, str] = {
    "new": "Make an execution and print its id.",
    "upload": "Store files, directories or standard input.",
    "finish": "Finish an execution: write its result and manifest.",
    "run": "Run a command and store its output.",
    "ls": "List executions, or the files of one.",
    "logs": "Print a log.",
    "grep": "Search the logs of many executions.",
    "show": "Show the metadata of an execution.",
    "url": "Print presigned URLs.",
    "download": "Download files and verify them.",
    "verify": "Check stored checksums, and local files against them.",
    "sync-efs": "Store what benches left on EFS, then remove what is stored.",
    "lifecycle": "Archive and delete by age, with rules of the bucket.",
    "restore": "Bring archived files back for some days.",
    "cost": "Show what executions cost to store, now and once archived.",
    "history": "Query finished executions in Athena, DuckDB or Spark.",
    "adapter": "Check programs that write a bench's output.",
    "deploy": "Print files to copy: benches, EC2, EKS, CI, serve, IAM, alerts.",
    "doctor": "Check what this bucket and these credentials can do.",
    "serve": "Serve executions and files over HTTP, and take uploads.",
    "sandbox": "Start a throw-away S3 on this machine.",
}


# What other programs call it.
_HABITS = {
    "list": "ls",
    "cat": "logs",
    "view": "show",
    "describe": "show",
    "get": "download",
    "cp": "upload",
    "push": "upload",
    "search": "grep",
    "presign": "url",
}


class BrokenStdout(Exception):  # noqa: N818 - no fault
    """Nobody reads standard output any more. No OSError: click makes exit code 1 of that."""


class LazyGroup(OncePerOption, click.Group):
    """A group that imports a command's module only when that command is used."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the line, which may print help."""
        with _naming_a_closed_pipe():
            return super().make_context(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the line; global options may follow the command as well."""
        return super().parse_args(ctx, [*self._options_after_command(ctx, args), *args])

    def _options_after_command(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the global options that follow the command, as they are typed before it."""
        _, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        found: list[str] = []
        command: click.Command | None = self
        while rest and isinstance(command, click.Group):
            name = rest.pop(0)
            command = command.get_command(ctx, name)
            if command is not None:
                ctx = click.Context(
                    command, ctx, name, resilient_parsing=True, **command.context_settings
                )
                values, rest, order = command.make_parser(ctx).parse_args(args=rest)
                for option in global_options(ctx):
                    if option in order:
                        value = [] if option.is_flag else [str(values[option.name])]
                        found += [max(option.opts, key=len), *value]
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `help CMD` is `CMD --help`. Raises UsageError naming the nearest."""
        if args[0] == "help":
            if not args[1:]:
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()
            args = [*args[1:], "--help"]
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {args[0]!r}.{_nearest_command(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _naming_a_closed_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(
            f"orchestrator_cli.cli.commands.{cmd_name.replace('-', '_')}"
        )
        loaded: click.Command = getattr(module, cmd_name.replace("-", "_"))
        _name_variables(cmd_name, loaded)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where to begin."""
        with formatter.section("To begin"):
            formatter.write_dl(
                [
                    ("orchestrator sandbox", "try everything with no account"),
                    ("orchestrator help COMMAND", "options, examples and exit codes"),
                    ("man orchestrator-layout", "what is stored, and where"),
                    ("man orchestrator-retention", "how long, and what that costs"),
                ]
            )


def _nearest_command(typed: str) -> str:
    import difflib

    near = _HABITS.get(typed) or next(iter(difflib.get_close_matches(typed, COMMANDS)), None)
    return f" Did you mean '{near}'?" if near else ""


@contextlib.contextmanager
def _naming_a_closed_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise BrokenStdout from error


@click.group(
    cls=LazyGroup,
    context_settings={
        "auto_envvar_prefix": "ORCHESTRATOR",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.option("--bucket", metavar="B", help="The bucket that holds the executions.")
@click.option("--profile", metavar="P", help="The AWS profile, like AWS_PROFILE.")
@click.option("--region", metavar="R", help="The bucket's region, like AWS_REGION.")
@click.option(
    "--endpoint-url", metavar="U", help="An S3 server other than AWS, like AWS_ENDPOINT_URL."
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
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
@click.option("-q", "--quiet", is_flag=True, help="Print only errors on standard error.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Print every file and every retry on standard error."
)
@click.option("--debug", is_flag=True, help="Show tracebacks with errors.")
@click.version_option(__version__, prog_name="orchestrator", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    bucket: str | None,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    color: str,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> None:
    """Keep, find and share the output of test runs in S3.

    Every execution has a ULID; its logs and artifacts are immutable objects under
    executions/<id>/. Credentials, region and endpoint come from the AWS configuration.
    Every option can be set as ORCHESTRATOR_<OPTION> or ORCHESTRATOR_<COMMAND>_<OPTION>.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    verbosity = int(verbose) - int(quiet)
    settings = Settings(bucket, profile, region, endpoint_url, color, verbosity, debug)
    # The run's own App, which also has to know about --debug when all this has ended.
    app = ctx.ensure_object(App)
    app.settings = settings


def _apply_config(ctx: click.Context, path: Path | None) -> None:
    def option_names(command_name: str) -> dict[str, str] | None:
        # Imports a command only when the file has a table for it.
        command: click.Command | None = cli
        for name in command_name.split():
            command = command.get_command(ctx, name) if isinstance(command, click.Group) else None
        return None if command is None else _option_names(command)

    try:
        ctx.default_map = load_config(path, option_names)
    except UsageError:
        # While completing, what is wrong with the file is not the matter.
        if not ctx.resilient_parsing:
            raise


def _option_names(command: click.Command) -> dict[str, str]:
    """Return click's name of every option by the name that people type, `-` written as `_`."""
    return {
        spelling.removeprefix("--").replace("-", "_"): str(param.name)
        for param in command.params
        if isinstance(param, click.Option)
        for spelling in param.opts
        if spelling.startswith("--")
    }


def _name_variables(command_name: str, command: click.Command) -> None:
    """Make the variable of an option follow from what people type, not from click's name."""
    spelled = {name: typed for typed, name in _option_names(command).items()}
    for param in command.params:
        typed = spelled.get(str(param.name), param.name)
        if typed != param.name and param.envvar is None:
            param.envvar = f"ORCHESTRATOR_{command_name}_{typed}".replace("-", "_").upper()
    for name, inner in getattr(command, "commands", {}).items():
        _name_variables(f"{command_name}_{name}", inner)


def run_process() -> NoReturn:
    """Be the program: run the command line, then end without taking the interpreter apart.

    That takes as long as a request, and everything is written and joined by then.
    """
    try:
        main()
    except SystemExit as end:
        if end.code == 0:
            _end_at_once(0)
        raise


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; always ends in SystemExit with a documented code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    _prepare_signals()
    try:
        code = _run(arguments)
    except (BrokenStdout, BrokenPipeError):
        # It has all it wanted, as `| head` has. Threads may still read ahead for it.
        _end_at_once(0)
    _flush_and_exit(code)


def _run(arguments: list[str]) -> int:
    app = App(Settings())
    try:
        cli.main(arguments, prog_name="orchestrator", standalone_mode=False, obj=app)
        sys.stdout.flush()
        return 0
    except (BrokenStdout, BrokenPipeError):
        raise
    except (KeyboardInterrupt, click.Abort, InterruptedByUser):
        return _report_interrupted(arguments)
    except click.ClickException as error:
        return _report_usage(error)
    except OrchestratorError as error:
        return _report(error, arguments, app)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _report_unexpected(error, arguments, app)


def _report_usage(error: click.ClickException) -> int:
    text = io.StringIO()
    error.show(text)
    for line in text.getvalue().rstrip("\n").split("\n"):
        _say(line)
    return UsageError.exit_code if error.exit_code == 2 else error.exit_code


def _report(error: OrchestratorError, arguments: list[str], app: App) -> int:
    _trace(error, arguments, app)
    detail = f" [request id {printable(error.request_id)}]" if error.request_id else ""
    _say(f"error: {error.message}{detail}")
    resumes = app.resumes and error.retryable
    hint = _hint(error, resumes)
    if hint:
        _say(f"hint: {hint}")
    if resumes:
        _say(f"  {_command_line(arguments)}")
    return error.exit_code


def _hint(error: OrchestratorError, resumes: bool) -> str | None:
    """Return what to do next; that of a summary of failures says already how to go on."""
    if resumes and not isinstance(error, PartialFailureError):
        return f"{error.hint}, then {RESUME_HINT}" if error.hint else RESUME_HINT
    if error.retryable and not error.hint:
        return "it may pass: try again in a moment"
    return error.hint


def _report_unexpected(error: Exception, arguments: list[str], app: App) -> int:
    _trace(error, arguments, app)
    if isinstance(error, OSError) and error.strerror:
        # The machine's fault, such as a full disk behind standard output.
        where = f" {error.filename}:" if error.filename else ""
        _say(f"error:{where} {error.strerror}")
    else:
        _say(f"error: unexpected {type(error).__name__}: {without_secrets(str(error))}")
        _say("hint: --debug shows where; please report it")
    return OrchestratorError.exit_code


def _report_interrupted(arguments: list[str]) -> int:
    # A second signal must not wait for anything.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _say("interrupted; what was stored is kept. To go on:")
    _say(f"  {_command_line(arguments)}")
    _finish_last_line()
    return InterruptedByUser.exit_code


def _finish_last_line() -> None:
    """Write what is left of standard output, unless nobody reads it."""

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    writing = threading.Thread(target=flush, daemon=True)
    writing.start()
    writing.join(_LAST_LINE_SECONDS)


def _command_line(arguments: list[str]) -> str:
    import shlex

    return printable(without_secrets(shlex.join(["orchestrator", *arguments])))


def _trace(error: Exception, arguments: list[str], app: App) -> None:
    if "--debug" in arguments or app.settings.debug or debug_from_environment():
        with contextlib.suppress(OSError):
            import traceback

            print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr)


def _say(line: str) -> None:
    # Standard error may be closed too; the exit code is what is left then.
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def _prepare_streams() -> None:
    # Closed ones, as under some daemons, must not make print() write to the other.
    sys.stdout = sys.stdout or _open_devnull()
    sys.stderr = sys.stderr or _open_devnull()
    # A line that an interruption finds half written is kept in a buffer that holds all of it.
    sys.stdout = _waiting_stream(sys.stdout, _LONGEST_LINE_BYTES)
    sys.stderr = _waiting_stream(sys.stderr, io.DEFAULT_BUFFER_SIZE)


def _open_devnull() -> TextIO:
    # Its descriptor outlives it, for the stream that takes its place.
    return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)


def _waiting_stream(stream: TextIO, buffer_bytes: int) -> TextIO:
    """Return a stream that waits where its descriptor is non-blocking, and knows any name."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = WaitingWriter(stream.fileno())
    return io.TextIOWrapper(
        io.BufferedWriter(raw, buffer_bytes),
        encoding=stream.encoding,
        # A name that the terminal's encoding lacks must not stop a command.
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )


def _prepare_signals() -> None:
    def interrupt(*_: object) -> None:
        # A second Ctrl-C must not wait for anything, not even for the words about the first.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    # Not in a thread, as when the function is called from an embedding program.
    with contextlib.suppress(ValueError):
        # What is ignored, as in the background of a script, stays so.
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)


def _flush_and_exit(code: int) -> NoReturn:
    if code != InterruptedByUser.exit_code:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            # Python would try it again, and make exit code 120 of that.
            _end_at_once(code)
    if code:
        # Threads may still wait for an answer; nobody needs it any more.
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> NoReturn:
    """End without waiting for threads, and without flushing what cannot be written."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
