"""`orchestrator open`: the page of an execution in the browser."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.configuration.environment import has_browser
from orchestrator_cli.cli.options import Example, command, execution_id_argument
from orchestrator_cli.core.base.errors import UsageError


@command(
    examples=(
        Example("the newest execution that failed", "orchestrator open @latest:result=fail"),
        Example("a log of it", "orchestrator open $ID stderr"),
    ),
    exit_codes=(0, 2, 4, 5, 9),
    exit_meanings={4: "no such execution, log or bucket"},
)
@execution_id_argument
@click.argument("log", required=False)
@pass_app
def open(app: App, execution_id: str, log: str | None) -> None:  # noqa: A001 - the command
    """Open the page of an execution, or of one of its logs, in the browser.

    The pages are those of `orchestrator serve` at --ui-url. The address is printed too; where there
    is no screen, that is all.
    """
    from orchestrator_cli.core.executions.listings.executions import check_exists
    from orchestrator_cli.core.executions.logs.finding import log_name, no_such_log
    from orchestrator_cli.core.executions.placement import log_storage_path

    store = app.store()
    resolved = app.resolve_id(execution_id, store)
    name = log_name(log_storage_path(log) or "") if log else ""
    check_exists(store, resolved)
    if log and not name:
        raise no_such_log(store, resolved, log)
    page = app.pages.url(resolved, name)
    if page is None:
        raise UsageError(
            "--ui-url is not set",
            hint="`orchestrator serve` has the pages; ORCHESTRATOR_UI_URL says where",
        )
    app.output.line(page)
    if has_browser():
        import webbrowser

        webbrowser.open(page)
