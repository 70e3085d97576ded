"""Settings from AWS's own variables and configuration files, where no option has them."""

from __future__ import annotations

import os

from orchestrator_cli.cli.configuration.settings import Settings

_CREDENTIAL_VARIABLES = {
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web identity",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "the container's role",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "the container's role",
}


def aws_setting(settings: Settings, name: str) -> str:
    """Return the region or the endpoint-url that requests go to, without sending any.

    Raises UsageError and AccessError where the AWS configuration cannot be used.
    """
    from orchestrator_cli.core.s3.connection.config import S3Settings, resolve_config
    from orchestrator_cli.core.s3.connection.endpoint import service_host

    known = resolve_config(
        S3Settings(
            settings.bucket or "",
            settings.region,
            settings.endpoint_url,
            settings.profile,
            environment=os.environ,
        )
    )
    return (
        known.region
        if name == "region"
        else (known.endpoint_url or f"https://{service_host(known.region)}")
    )


def credentials_source(settings: Settings) -> str:
    """Return where credentials are looked for first; it is not tried whether there are any."""
    if os.environ.get("AWS_ACCESS_KEY_ID") and not settings.profile:
        return "variables: AWS_ACCESS_KEY_ID"
    profile = settings.profile or os.environ.get("AWS_PROFILE")
    if profile:
        return f"profile {profile}"
    for name, what in _CREDENTIAL_VARIABLES.items():
        if os.environ.get(name):
            return f"{what}: {name}"
    return "the AWS configuration files, or the role of this machine"
