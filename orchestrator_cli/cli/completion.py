"""What shell completion offers: execution ids and file names, asked from S3.

Completion must never disturb the line being typed: whatever fails, nothing is offered, and no
request is sent twice.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice

import click
from click.shell_completion import CompletionItem

from orchestrator_cli.cli.app import App, Settings, global_setting

_MOST = 50
_WINDOW = timedelta(days=14)


def execution_ids(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return ids that start with what was typed, the newest first."""
    try:
        return _execution_ids(ctx, incomplete)
    except Exception:  # noqa: BLE001 - see above
        return []


def file_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the paths of the execution on the line that start with what was typed."""
    try:
        return _file_names(ctx, incomplete)
    except Exception:  # noqa: BLE001 - see above
        return []


def _execution_ids(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from orchestrator_cli.core.executions.listings.executions import list_execution_ids

    app = _app(ctx)
    store = app.store(patient=False)
    now = app.now()
    found = list(list_execution_ids(store, now - _WINDOW, None, now))
    matching = [item for item in reversed(found) if item.startswith(incomplete.upper())]
    offered = [CompletionItem(item) for item in matching[:_MOST]]
    if incomplete and "@latest".startswith(incomplete):
        offered.append(CompletionItem("@latest"))
    return offered


def _file_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from orchestrator_cli.core.executions.listings.executions import list_files

    app = _app(ctx)
    store = app.store(patient=False)
    given = ctx.params.get("execution_id") or next(iter(ctx.params.get("arguments") or ()), "")
    execution_id = app.resolve_id(given or global_setting("execution_id") or "", store)
    paths = (path for path, _ in list_files(store, execution_id) if path.startswith(incomplete))
    return [CompletionItem(path) for path in islice(paths, _MOST)]


def _app(ctx: click.Context) -> App:
    # While completing, no callback has run: what was typed is in the parameters as far as parsed.
    given = ctx.find_root().params

    def value(name: str) -> str | None:
        return given.get(name) or global_setting(name)

    return App(
        Settings(
            bucket=value("bucket"),
            profile=value("profile"),
            region=value("region"),
            endpoint_url=value("endpoint_url"),
        )
    )
