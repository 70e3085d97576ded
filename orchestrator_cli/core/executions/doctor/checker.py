"""Probe what a bucket, its server and these credentials can do, on scratch keys.

A probe is one row of a table: what it is called, which IAM action a refusal of it shows to be
missing, which probes it builds on, and the function that tries it. The table is in probes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError
from orchestrator_cli.core.executions.doctor.scratch import Scratch


class Verdict(StrEnum):
    """The verdict of a probe.

    `ok`: the promise holds. `degraded`: the server gives less, and there is a way round it.
    `denied`: a permission is missing. `does-not-work`: the server failed, and there is no way
    round it. `info` is a setting that no promise depends on, `skipped` could not be tried.
    """

    OK = "ok"
    DEGRADED = "degraded"
    DENIED = "denied"
    DOES_NOT_WORK = "does-not-work"
    INFO = "info"
    SKIPPED = "skipped"

    @property
    def holds(self) -> bool:
        """True where probes that build on this one can be tried."""
        return self in (Verdict.OK, Verdict.DEGRADED)


# A verdict, and in words what was found.
ProbeResult = tuple[Verdict, str]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one probe.

    `actions` are the IAM actions that are missing, with the part of the bucket that they are
    missing for in `resource`; both are empty unless the probe was denied by a policy. `hint` is
    what the error of a failed probe says to do next. `failed` says that it came to no verdict.
    """

    name: str
    verdict: Verdict
    detail: str
    actions: tuple[str, ...] = ()
    resource: str = ""
    hint: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """One row of the table.

    `run` returns a verdict and a detail, or raises the library's exceptions. `action` and
    `resource` name what a refusal of it shows to be missing. `needs` are the names of probes that
    must hold before this one is tried. After a `required` probe that does not hold, nothing else
    is tried. `touches` says what alone is lost with it, where all else goes on.
    """

    name: str
    run: Callable[[Scratch], ProbeResult]
    action: str = ""
    resource: str = ""
    needs: tuple[str, ...] = ()
    required: bool = False
    touches: str = ""


def run_probes(scratch: Scratch, probes: Iterable[Probe]) -> Iterator[Check]:
    """Yield the result of each probe as soon as it is known; remove at last what they stored.

    Raises NotFoundError where there is no such bucket, and UnavailableError where nothing answers.
    """
    holds: dict[str, bool] = {}
    try:
        for probe in probes:
            check = _run(probe, scratch, holds)
            holds[probe.name] = check.verdict.holds and not check.failed
            yield check
            if probe.required and not check.verdict.holds:
                return
    finally:
        scratch.clean_up()


def _run(probe: Probe, scratch: Scratch, holds: dict[str, bool]) -> Check:
    unmet = [name for name in probe.needs if not holds[name]]
    if unmet:
        return Check(probe.name, Verdict.SKIPPED, f"not tried: it needs “{unmet[0]}”")
    try:
        verdict, detail = probe.run(scratch)
    except AccessError as error:
        return _denied(probe, error)
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        verdict = Verdict.DEGRADED if probe.touches else Verdict.DOES_NOT_WORK
        detail = _with_touched(error.message, probe)
        return Check(probe.name, verdict, detail, hint=error.hint, failed=True)
    return Check(probe.name, verdict, detail)


def _denied(probe: Probe, error: AccessError) -> Check:
    """Return the result of a probe that was refused, with the action that is missing.

    S3 may name it, and another one than was asked for, such as kms:GenerateDataKey. What no policy
    can mend, such as a wrong secret or clock, misses no action.
    """
    action = (error.action or probe.action) if error.is_denial else ""
    missing = (action,) if action else ()
    resource = probe.resource if action == probe.action else ""
    detail = _with_touched(error.message, probe)
    return Check(probe.name, Verdict.DENIED, detail, missing, resource, hint=error.hint)


def _with_touched(message: str, probe: Probe) -> str:
    return f"{message}; {probe.touches}" if probe.touches else message
