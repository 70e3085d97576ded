"""The options that choose executions, for every command that works on many."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.cli.options.common import add_options
from orchestrator_cli.cli.options.types import LABEL, RESULT, RUNNER_TYPE

_FILTERS = (
    click.option(
        "--result",
        "results",
        type=RESULT,
        multiple=True,
        help="Only executions with this result.",
    ),
    click.option("--failed", is_flag=True, help="Only executions with result fail or error."),
    click.option(
        "--suite", "suites", metavar="S", multiple=True, help="Only executions of this test suite."
    ),
    click.option(
        "--label",
        "labels",
        type=LABEL,
        metavar="K=V",
        multiple=True,
        help="Only executions with this label.",
    ),
    click.option(
        "--bench", "bench_ids", metavar="B", multiple=True, help="Only executions of this bench."
    ),
    click.option(
        "--runner-type",
        "runner_types",
        type=RUNNER_TYPE,
        multiple=True,
        help="Only executions on this kind of runner.",
    ),
    click.option(
        "--reservation",
        "reservation_ids",
        metavar="R",
        multiple=True,
        help="Only executions of this reservation.",
    ),
    click.option(
        "--artifact-status",
        "artifact_statuses",
        type=click.Choice(["pending", "complete", "artifact_error"]),
        multiple=True,
        help="Only executions with this artifact status.",
    ),
)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose executions; the function is given them as `wanted`."""

    @functools.wraps(function)
    def with_filter(*args: Any, **given: Any) -> Any:
        from orchestrator_cli.core.executions.filters import ExecutionFilter, parse_labels

        failed = {"fail", "error"} if given.pop("failed") else set()
        wanted = ExecutionFilter(
            results=frozenset({*given.pop("results"), *failed}),
            labels=parse_labels("=".join(label) for label in given.pop("labels")),
            **{
                name: frozenset(given.pop(name))
                for name in (
                    "suites",
                    "bench_ids",
                    "runner_types",
                    "reservation_ids",
                    "artifact_statuses",
                )
            },
        )
        return function(*args, wanted=wanted, **given)

    return add_options(with_filter, _FILTERS)
