"""Resolve concurrent creates on servers that ignore `If-None-Match` in versioned buckets.

The oldest version wins; later ones are deleted by whoever wrote them.
"""

from __future__ import annotations

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, suppress_unless_fatal
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Sleep
from orchestrator_cli.core.s3.operations.listing import list_live_versions
from orchestrator_cli.core.s3.operations.request import Operation, S3Request

_LOOKS = 16
_LONGEST_WAIT_SECONDS = 0.25


def delete_if_not_oldest_version(key: str, version_id: str) -> Operation[bool]:
    """Delete the version of a key just written where another one is older; return whether it was.

    Ceph ignores `If-None-Match` in a versioned bucket: of two writers at once both succeed, and
    only the order of the versions, which is the same for all who look, tells who was first.
    Returns False where the credentials do not allow to look.
    """
    try:
        live = yield from list_live_versions(key)
    except AccessError:
        return False
    if not live or live[-1] == version_id:
        return False
    with suppress_unless_fatal(OrchestratorError):
        what = f"removal of a version of {printable(key)}"
        yield S3Request("DELETE", key, what, query={"versionId": version_id})
    yield from _wait_for_others(key)
    return True


def _wait_for_others(key: str) -> Operation[None]:
    """Wait until other writers have deleted their later versions, so that the oldest is read."""
    for _ in range(_LOOKS):
        live = yield from list_live_versions(key)
        if len(live) <= 1:
            return
        from random import uniform

        yield Sleep(uniform(0, _LONGEST_WAIT_SECONDS))
