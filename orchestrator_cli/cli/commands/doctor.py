"""`orchestrator doctor`: what this bucket and these credentials can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, json_option

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.doctor import Check

_WIDTHS = (32, 8, 0)


@command(
    examples=(
        Example("before the first upload", "orchestrator doctor"),
        Example("a server of your own", "orchestrator --endpoint-url https://ceph.lab doctor"),
        Example("in CI", "orchestrator doctor --json | jq -e '.guaranteed'"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 9),
)
@json_option
@pass_app
def doctor(app: App, as_json: bool) -> None:
    """Say what this bucket and these credentials can do.

    Every promise that rests on the server is tried for real, on scratch keys under a random
    execution id that are removed afterwards. Exit 0 where all hold, 3 where the tool must fall
    back, 5 where access is missing; the missing IAM actions are named.
    """
    from orchestrator_cli.core.executions.doctor import ConformanceChecker

    store = app.store()
    checks = []
    for check in ConformanceChecker(store, app.new_execution_id(), app.now).run():
        checks.append(check)
        if not as_json:
            app.output.row((check.name, str(check.verdict), check.detail), _WIDTHS, _style(check))
    error = _verdict(checks)
    if as_json:
        app.output.json(_record(store.bucket, store.clients.endpoint_url, checks, error))
    if error is not None:
        raise error
    app.output.note("every promise holds")


def _style(check: Check) -> str | None:
    return {"ok": "pass", "denied": "fail", "weaker": "error"}.get(check.verdict)


def _record(
    bucket: str, endpoint_url: str, checks: list[Check], error: OrchestratorError | None
) -> dict[str, object]:
    return {
        "bucket": bucket,
        "endpoint_url": endpoint_url,
        "guaranteed": error is None,
        "missing_actions": _missing(checks),
        "checks": [
            {
                "name": check.name,
                "verdict": str(check.verdict),
                "detail": check.detail,
                "actions": list(check.actions),
            }
            for check in checks
        ],
    }


def _missing(checks: list[Check]) -> list[str]:
    denied = [check for check in checks if check.verdict == "denied"]
    return sorted({action for check in denied for action in check.actions})


def _verdict(checks: list[Check]) -> OrchestratorError | None:
    from orchestrator_cli.core.base.errors import AccessError, PartialFailureError

    missing = _missing(checks)
    if missing:
        needed = ", ".join(missing)
        return AccessError(f"access is missing: {needed}", hint="extend the policy and run again")
    denied = [check.detail for check in checks if check.verdict == "denied"]
    if denied:
        return AccessError(denied[0], hint="mend that and run again; no policy can")
    weaker = [check.name for check in checks if check.verdict == "weaker"]
    if weaker:
        return PartialFailureError(
            f"this server does not give: {', '.join(weaker)}",
            hint="the tool falls back as said above; README has a table of servers",
        )
    return None
