"""No output may hold what gives access: secrets, tokens, signatures, signed query strings."""

from __future__ import annotations

import os
import re

from tests.support.commands.running import Result

_SIGNED = re.compile(r"X-Amz-(Signature|Credential|Security-Token)|Signature=", re.IGNORECASE)
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def check_no_secrets(result: Result, *secrets: str) -> None:
    """Fail the test where the run's output holds one of these, or the environment's."""
    text = (result.stdout + result.stderr).decode(errors="replace")
    known = [*secrets, *filter(None, map(os.environ.get, _SECRET_VARIABLES))]
    # moto's own “secret” is a word that people write too.
    found = [secret for secret in known if len(secret) > 12 and secret in text]
    assert not found, f"the output holds {found}"
    assert not _SIGNED.search(text), text
