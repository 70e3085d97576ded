"""What shell completion offers: execution ids and file names, asked from S3.

Completion must never disturb the line being typed: whatever fails, nothing is offered, and no
request is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.environment import global_setting
from orchestrator_cli.cli.configuration.settings import Settings

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

Offer = Callable[[click.Context, str], list[CompletionItem]]

_MOST = 50
_WINDOW = timedelta(days=14)


def _or_nothing(offer: Offer) -> Offer:
    """Let a function offer nothing where it fails."""

    @wraps(offer)
    def offer_or_nothing(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        try:
            return offer(ctx, incomplete)
        except Exception:  # noqa: BLE001 - see above
            return []

    return offer_or_nothing


@_or_nothing
def execution_ids(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return ids that start with the typed text, the newest first."""
    from orchestrator_cli.core.executions.listings.executions import list_execution_ids
    from orchestrator_cli.core.executions.record.repository import read_executions

    app = _app(ctx)
    store = app.store(retries=False)
    now = app.now()
    if incomplete.startswith("@"):
        is_begun = "@latest".startswith(incomplete)
        return [CompletionItem("@latest", help="the newest execution")] if is_begun else []
    found = list(list_execution_ids(store, now - _WINDOW, None, now))
    matching = [item for item in reversed(found) if item.startswith(incomplete.upper())]
    offered = [
        CompletionItem(execution_id, help=_describe(item, now))
        for execution_id, item in read_executions(store, matching[:_MOST])
    ]
    return offered or [CompletionItem(one) for one in matching[:_MOST]]


def _describe(item: ExecutionMetadata | OrchestratorError, now: datetime) -> str | None:
    """Return the suite, the result and the age of an execution, to tell it from others."""
    from orchestrator_cli.cli.output.units import human_age
    from orchestrator_cli.core.base.text import printable

    if isinstance(item, Exception):
        return None
    age = human_age(now - item.started_at) if item.started_at else None
    known = (item.test_suite, str(item.result or item.status), age)
    return printable(", ".join(filter(None, known)))


@_or_nothing
def log_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the names of the logs of the execution on the line, with their sizes."""
    from orchestrator_cli.cli.output.units import human_size
    from orchestrator_cli.core.executions.logs.finding import list_logs
    from orchestrator_cli.library.source import BucketSource

    app = _app(ctx)
    store = app.store(retries=False)
    source = BucketSource(store, app.now())
    stored = list_logs(store, app.resolve_id(_given_id(ctx), store), source.read_record)
    return [
        CompletionItem(name, help=human_size(log.size_bytes))
        for name, log in stored.logs.items()
        if name.startswith(incomplete)
    ]


@_or_nothing
def file_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the paths of the execution on the line that start with the typed text."""
    from orchestrator_cli.core.executions.listings.executions import list_files

    app = _app(ctx)
    store = app.store(retries=False)
    execution_id = app.resolve_id(_given_id(ctx), store)
    paths = (path for path, _ in list_files(store, execution_id) if path.startswith(incomplete))
    return [CompletionItem(path) for path in islice(paths, _MOST)]


def _given_id(ctx: click.Context) -> str:
    given = ctx.params.get("execution_id") or next(iter(ctx.params.get("arguments") or ()), "")
    return given or global_setting("execution_id") or ""


def _app(ctx: click.Context) -> App:
    # While completing, no callback has run: what was typed is in the parameters as far as parsed.
    # A global option may stand before the command or after it.
    root = ctx.find_root().params

    def value(name: str) -> str | None:
        return ctx.params.get(name) or root.get(name) or global_setting(name)

    return App(
        Settings(
            bucket=value("bucket"),
            profile=value("profile"),
            region=value("region"),
            endpoint_url=value("endpoint_url"),
        )
    )
