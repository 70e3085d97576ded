"""Check the files that botocore reads while it looks for credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_cli.core.files.small_file import check_small_file

_TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE"
_VARIABLES = (
    _TOKEN_FILE,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG",
)


def check_credential_files(session: Any, environment: Mapping[str, str]) -> None:
    """Raise UsageError for a file that would have botocore wait or read without end.

    A missing file is no error, since botocore may not need it.
    """
    for setting, file in _files(session, environment):
        expanded = os.path.expanduser(file)
        if os.path.exists(expanded):
            check_small_file(setting, expanded)


def _files(session: Any, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable in _VARIABLES:
        if environment.get(variable):
            yield variable, environment[variable]
    profiles = session.full_config.get("profiles", {})
    name, seen = session.get_config_variable("profile") or "default", set[str]()
    # A profile may have its credentials from another one.
    while name and name not in seen:
        seen.add(name)
        profile = profiles.get(name, {})
        if file := profile.get("web_identity_token_file"):
            yield "web_identity_token_file", file
        name = profile.get("source_profile")
