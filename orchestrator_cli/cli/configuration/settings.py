"""The values of the global options, also as variables for a command that is run."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands

# Commands that do what they are for whatever the settings are, and then store nothing.
GO_ON_WITHOUT_SETTINGS = frozenset({"run"})


class Settings(NamedTuple):
    """The global options, after flag > environment > config file > default.

    `problem` is why those of the environment and the config file cannot be used, where the command
    goes on nevertheless: nothing may be stored by the others then.
    """

    bucket: str | None = None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    ui_url: str | None = None
    color: str = "auto"
    verbosity: int = 0
    debug: bool = False
    demands: BucketDemands = NO_DEMANDS
    patience: timedelta | None = None
    problem: UsageError | None = None

    @property
    def bucket_name(self) -> str | None:
        """The name of the bucket, which may be given as a URL; None without one."""
        return (self.bucket or "").removeprefix("s3://").rstrip("/") or None

    def variables(self) -> dict[str, str]:
        """Return the variables that give another command the same bucket."""
        demands = self.demands
        given = {
            "ORCHESTRATOR_BUCKET": self.bucket,
            "ORCHESTRATOR_PROFILE": self.profile,
            "ORCHESTRATOR_REGION": self.region,
            "ORCHESTRATOR_ENDPOINT_URL": self.endpoint_url,
            "ORCHESTRATOR_UI_URL": self.ui_url,
            "ORCHESTRATOR_SSE_KMS_KEY_ID": demands.kms_key,
            "ORCHESTRATOR_BUCKET_KEY": None if demands.bucket_key else "false",
            "ORCHESTRATOR_EXPECTED_BUCKET_OWNER": demands.expected_owner,
            "ORCHESTRATOR_STORAGE_CLASS": demands.storage_class,
            "ORCHESTRATOR_TAG": "\n".join(f"{key}={text}" for key, text in demands.tags),
            "ORCHESTRATOR_REQUEST_PAYER": "requester" if demands.requester_pays else None,
        }
        return {name: text for name, text in given.items() if text}
