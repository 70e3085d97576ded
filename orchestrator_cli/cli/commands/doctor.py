"""`orchestrator doctor`: what this bucket and these credentials can do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, json_option
from orchestrator_cli.cli.output.table import Column, Table

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.doctor.checker import Check, Verdict

_COLUMNS = (
    Column("CHECK", width=32, least=10, wrap=True),
    Column("VERDICT", width=13),
    Column("WHAT", width=200, least=13, wrap=True),
)
_STYLES = {"ok": "pass", "denied": "fail", "does-not-work": "fail", "degraded": "error"}


@command(
    examples=(
        Example("before the first upload", "orchestrator doctor"),
        Example("a server of your own", "orchestrator --endpoint-url https://ceph.lab doctor"),
        Example("in CI", "orchestrator doctor --json | jq -e '.guaranteed'"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 9),
    exit_meanings={
        0: "everything holds",
        3: "something is degraded",
        4: "no such bucket",
        5: "credentials missing, or a permission is",
        9: "something does not work, or storage is unavailable",
    },
)
@json_option
@pass_app
def doctor(app: App, as_json: bool) -> None:
    """Check what this bucket and these credentials can do.

    Everything that uploads, reads and links rely on is tried for real, by the code that they use,
    on scratch keys under a random execution id that are removed afterwards. Where these
    credentials may not delete, nothing is stored and only the permissions are tried.

    Each line ends in a verdict. ok: it holds. degraded: the server gives less than AWS does, and
    the line says what is done instead, or what alone is lost. denied: a permission is missing.
    does-not-work: the server failed, and there is no way round it.

    Exit 0 where everything holds, 3 where something is degraded, 5 where a permission is missing
    (the last line names the IAM actions, and only those that were refused), 9 where something
    does not work, whatever else was found.
    """
    from orchestrator_cli.core.executions.doctor.checker import run_probes
    from orchestrator_cli.core.executions.doctor.probes import PROBES
    from orchestrator_cli.core.executions.doctor.scratch import Scratch
    from orchestrator_cli.core.retention.lifecycle.probe import LIFECYCLE_PROBE

    store = app.store()
    shown = Table(app.output, _COLUMNS, header=False, live=True)
    scratch = Scratch(store, app.new_execution_id(), app.now)
    checks = []
    for check in run_probes(scratch, (*PROBES, LIFECYCLE_PROBE)):
        checks.append(check)
        if not as_json:
            style = _STYLES.get(check.verdict)
            shown.row(check.name, str(check.verdict), check.detail, result=style)
            sys.stdout.flush()
    error = _summarize(checks)
    if as_json:
        app.output.json(_record(store.bucket, store.session.endpoint_url, checks, error))
    # The summary goes to standard error, and comes after the table also where both are one pipe.
    sys.stdout.flush()
    if error is not None:
        raise error
    app.messages.note(_all_clear(checks))


def _record(
    bucket: str, endpoint_url: str, checks: list[Check], error: OrchestratorError | None
) -> dict[str, object]:
    return {
        "bucket": bucket,
        "endpoint_url": endpoint_url,
        "guaranteed": error is None and not _untried(checks),
        "missing_actions": sorted({action for check in checks for action in check.actions}),
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


def _untried(checks: list[Check]) -> list[Check]:
    from orchestrator_cli.core.executions.doctor.checker import Verdict

    return [check for check in checks if check.verdict is Verdict.SKIPPED]


def _all_clear(checks: list[Check]) -> str:
    untried = _untried(checks)
    if not untried:
        return "everything holds"
    names = ", ".join(check.name for check in untried)
    return f"nothing is missing; not tried: {names}"


def _summarize(checks: list[Check]) -> OrchestratorError | None:
    """Return the error that the command ends with: the worst verdict, or None where all is well."""
    from orchestrator_cli.core.base.errors import AccessError, PartialFailureError, UnavailableError
    from orchestrator_cli.core.executions.doctor.checker import Verdict

    by_verdict: dict[Verdict, list[Check]] = {}
    for check in checks:
        by_verdict.setdefault(check.verdict, []).append(check)
    if broken := by_verdict.get(Verdict.DOES_NOT_WORK):
        names = ", ".join(check.name for check in broken)
        hint = broken[0].hint or "see the table; orchestrator cannot work with this bucket as it is"
        return UnavailableError(f"does not work here: {names}", hint=hint)
    if denied := by_verdict.get(Verdict.DENIED):
        missing = _missing(denied)
        if missing:
            hint = "extend the policy and run again"
            return AccessError(f"access is missing: {missing}", hint=hint)
        hint = denied[0].hint or "fix that and run again; no policy can fix it"
        return AccessError(denied[0].detail, hint=hint)
    if degraded := by_verdict.get(Verdict.DEGRADED):
        names = ", ".join(check.name for check in degraded)
        hint = (
            "orchestrator does without, as the table says; man/REFERENCE.md has a table of servers"
        )
        return PartialFailureError(f"this server gives less: {names}", hint=hint)
    return None


def _missing(denied: list[Check]) -> str:
    """Name the actions that were refused, each with the part of the bucket that it is for."""
    resources: dict[str, list[str]] = {}
    for check in denied:
        for action in check.actions:
            resources.setdefault(action, []).extend([check.resource] if check.resource else [])
    return ", ".join(
        f"{action} on {' and '.join(dict.fromkeys(found))}" if found else action
        for action, found in sorted(resources.items())
    )
