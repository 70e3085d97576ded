"""Which of several first writes of a key stays, in a versioned bucket that heeds no condition."""

from __future__ import annotations

import contextlib

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.session import S3Session

_LOOKS = 16


def delete_if_not_oldest_version(clients: S3Session, key: str, version_id: str) -> bool:
    """Take back the version of a key just written where another one is older; say whether it was.

    Ceph ignores `If-None-Match` in a versioned bucket: of two writers at once both succeed, and
    only the order of the versions, which is the same for all who look, tells who was first.
    Returns False where the credentials do not allow to look.
    """
    try:
        live = _live_versions(clients, key)
    except AccessError:
        return False
    if not live or live[-1] == version_id:
        return False
    with contextlib.suppress(OrchestratorError):
        clients.call(
            lambda: clients.boto.delete_object(
                Bucket=clients.bucket, Key=key, VersionId=version_id
            ),
            f"removal of a version of {printable(key)}",
        )
    _wait_for_others(clients, key)
    return True


def _wait_for_others(clients: S3Session, key: str) -> None:
    """Wait a while until everybody has taken back what was too late: then the first is read."""
    for _ in range(_LOOKS):
        if len(_live_versions(clients, key)) <= 1:
            return
        clients.retry.wait_a_moment()


def _live_versions(clients: S3Session, key: str) -> list[str]:
    """Return the versions of a key since it was last deleted, the newest first."""
    answer = clients.call(
        lambda: clients.boto.list_object_versions(Bucket=clients.bucket, Prefix=key),
        f"listing of the versions of {printable(key)}",
    )
    markers = [one["LastModified"] for one in answer.get("DeleteMarkers", []) if one["Key"] == key]
    return [
        one["VersionId"]
        for one in answer.get("Versions", [])
        if one["Key"] == key and (not markers or one["LastModified"] > max(markers))
    ]
