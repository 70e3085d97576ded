"""Options that several commands have."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from orchestrator_cli.cli.options.types import INSTANT, SIZE, WholeNumber
from orchestrator_cli.core.base.errors import InterruptedByUser, UsageError

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])
# How far back commands look for executions where nobody says it.
DEFAULT_WINDOW = timedelta(days=1)
# Where the EFS of the benches is mounted.
DEFAULT_ROOT = "/mnt/bench-logs"


def add_options(function: F, options: Sequence[Any]) -> F:
    """Decorate a function with options, which the help then lists in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def gather_options(group: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give the command its options as one object of this named tuple, in `options`."""
    names = group._fields

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_options(*arguments: Any, **given: Any) -> Any:
            options = group(**{name: given.pop(name) for name in names})
            return function(*arguments, options=options, **given)

        return with_options

    return decorate


def json_option(function: F) -> F:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON with stable field names, for scripts."
    )(function)


def no_op_options(*names: str) -> Callable[[F], F]:
    """Accept options of other programs for things that the command does anyway."""
    return click.option(
        "no_op",
        *names,
        is_flag=True,
        hidden=True,
        expose_value=False,
        allow_from_autoenv=False,
    )


def yes_option(function: F) -> F:
    """Add --yes, which `confirm` takes."""
    return click.option(
        "-y", "--yes", is_flag=True, help="Do not ask for confirmation. Needed without a terminal."
    )(function)


def write_to_latest_option(function: F) -> F:
    """Add --yes to a command that writes, which `check_may_write` takes."""
    return click.option(
        "-y", "--yes", is_flag=True, help="Accept @latest as ID; a newer execution may have begun."
    )(function)


def check_may_write(execution_id: str, yes: bool) -> None:
    """Raise UsageError for @latest unless `yes`: by now it may be another execution."""
    if execution_id.startswith("@latest") and not yes:
        raise UsageError(
            "@latest may be another execution by the time this is stored",
            hint="name the execution by its ID, or give --yes",
        )


def confirm(question: str, yes: bool) -> None:
    """Ask on the terminal, unless `yes`.

    Raises UsageError where nobody can be asked, InterruptedByUser where the answer is no.
    """
    if yes:
        return
    stdin: TextIO | None = sys.stdin
    if stdin is None or not stdin.isatty():
        hint = "--yes does it without asking"
        raise UsageError("nobody can be asked: standard input is not a terminal", hint=hint)
    if not click.confirm(question, err=True):
        raise InterruptedByUser("not confirmed")


def concurrency_option(function: F) -> F:
    """Add --concurrency."""
    return click.option(
        "--concurrency",
        type=WholeNumber(1, 512),
        default=512,
        show_default=True,
        help="The most requests at once; fewer are sent where more would not be faster.",
    )(function)


def window_options(since: str) -> Callable[[F], F]:
    """Add --since and --until; `since` says where the window begins by default."""
    options = (
        click.option(
            "--since",
            type=INSTANT,
            help="The start of the window: 2d, yesterday, 14:30, monday, 2026-01-31, "
            f"RFC 3339.  [default: {since}]",
        ),
        click.option(
            "--until",
            type=INSTANT,
            help="The end of the window, in the same forms.  [default: now]",
        ),
    )
    return lambda function: add_options(function, options)


def check_window(since: datetime | None, until: datetime | None) -> None:
    """Raise UsageError for a window that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise click.UsageError("--until is before --since.")


def _as_path(_ctx: click.Context, _param: click.Parameter, value: str) -> Path:
    # Not by click's type: most commands start without pathlib.
    from pathlib import Path

    return Path(value)


def root_option(function: F) -> F:
    """Add --root, where benches leave their files."""
    return click.option(
        "--root",
        metavar="DIR",
        type=click.Path(),
        callback=_as_path,
        default=DEFAULT_ROOT,
        show_default=True,
        help="With --offline: where the EFS is mounted.",
    )(function)


def limit_rate_option(function: F) -> F:
    """Add --limit-rate."""
    return click.option(
        "--limit-rate", type=SIZE, help="The most bytes a second, such as 512K or 5M."
    )(function)
