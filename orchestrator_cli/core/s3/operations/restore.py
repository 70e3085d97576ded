"""The operation that makes a readable copy of an archived object."""

from __future__ import annotations

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    Operation,
    S3Request,
    SignedBody,
)

_RESTORE = (
    '<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Days>{}</Days>'
    "<GlacierJobParameters><Tier>{}</Tier></GlacierJobParameters></RestoreRequest>"
)


def restore_object(key: str, days: int, tier: str) -> Operation[None]:
    """Request a readable copy for some days; `tier` is `bulk` or `standard`.

    Raises ConflictError with the code RestoreAlreadyInProgress, and ArchivedError for an object
    that is in no archive class.
    """
    body = _RESTORE.format(days, tier.capitalize())
    yield S3Request(
        "POST",
        key,
        f"restore of {printable(key)}",
        query={"restore": ""},
        body=SignedBody.of(body.encode()),
        total_timeout_seconds=SMALL_RESPONSE_SECONDS,
    )
