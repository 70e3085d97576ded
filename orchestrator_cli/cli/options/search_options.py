"""The options of a search, as grep has them, for every command that searches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator_cli.cli.options.common import add_options
from orchestrator_cli.cli.options.types import WholeNumber

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
    from orchestrator_cli.core.executions.logs.search import Context

# As grep has it.
NO_MATCH_EXIT_CODE = 1
_LINES = WholeNumber(0, 1000)
_OPTIONS = (
    click.option("-i", "--ignore-case", is_flag=True, help="Ignore case."),
    click.option("-F", "--fixed-strings", is_flag=True, help="The pattern is plain text."),
    click.option(
        "-C", "--context", type=_LINES, metavar="N", help="Print N lines around each match."
    ),
    click.option(
        "-B", "--before-context", type=_LINES, metavar="N", help="Print N lines before each match."
    ),
    click.option(
        "-A", "--after-context", type=_LINES, metavar="N", help="Print N lines after each match."
    ),
    click.option(
        "-c", "--count", is_flag=True, help="Print how many lines match instead of the lines."
    ),
)


class SearchOptions(NamedTuple):
    """The options of one search."""

    ignore_case: bool
    fixed_strings: bool
    before_lines: int
    after_lines: int
    counts: bool

    @property
    def is_default(self) -> bool:
        """Whether no option of the search was given."""
        return self == SearchOptions(False, False, 0, 0, False)

    @property
    def context(self) -> Context:
        """How many lines are shown around each that matches."""
        from orchestrator_cli.core.executions.logs.search import Context

        return Context(self.before_lines, self.after_lines)

    def compile(self, patterns: Sequence[str]) -> LinePattern:
        """Return a pattern that finds any of these. Raises UsageError."""
        from orchestrator_cli.core.executions.logs.line_pattern import LinePattern

        return LinePattern(patterns, self.ignore_case, self.fixed_strings)


def search_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a search; the function is given them as `search`."""

    @functools.wraps(function)
    def with_search(*args: Any, **given: Any) -> Any:
        around = given.pop("context") or 0
        before, after = given.pop("before_context"), given.pop("after_context")
        search = SearchOptions(
            ignore_case=given.pop("ignore_case"),
            fixed_strings=given.pop("fixed_strings"),
            before_lines=around if before is None else before,
            after_lines=around if after is None else after,
            counts=given.pop("count"),
        )
        return function(*args, search=search, **given)

    return add_options(with_search, _OPTIONS)
