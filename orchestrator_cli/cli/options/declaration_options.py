"""The options that say what an execution is: its suite, its runner and its labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.options.common import add_options
from orchestrator_cli.cli.options.types import LABEL, RUNNER_TYPE

_OPTIONS = (
    click.option("--suite", metavar="S", help="The test suite."),
    click.option("--runner-type", type=RUNNER_TYPE, help="Where the test runs."),
    click.option("--reservation-id", metavar="R", help="The reservation that the test runs under."),
    click.option("--bench-id", metavar="B", help="The bench that the test runs on; on-prem only."),
    click.option(
        "--label",
        "labels",
        type=LABEL,
        multiple=True,
        help="A label of the execution; may be repeated. Not for secrets: they are masked.",
    ),
)


def declaration_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --suite and the like; the command gets `declared`, by the record's field names."""

    @functools.wraps(function)
    def with_declared(
        *arguments: Any,
        suite: str | None,
        runner_type: str | None,
        reservation_id: str | None,
        bench_id: str | None,
        labels: tuple[tuple[str, str], ...],
        **others: Any,
    ) -> Any:
        declared: dict[str, Any] = {
            "reservation_id": reservation_id,
            "runner_type": runner_type,
            "bench_id": bench_id,
            "test_suite": suite,
            "labels": dict(labels),
        }
        if labels:
            app = click.get_current_context().ensure_object(App)
            declared["labels"] = app.storable_labels(dict(labels))
        return function(*arguments, declared=declared, **others)

    return add_options(with_declared, _OPTIONS)
