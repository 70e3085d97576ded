"""Connect commands to the bucket or a server, by the global options and AWS's own variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.cli.configuration.environment import (
    VIA_COMMANDS,
    VIA_TOKEN_VARIABLE,
    VIA_VARIABLE,
)
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator_cli.cli.options.via_options import Via
    from orchestrator_cli.core.base.retry import RetryPolicy
    from orchestrator_cli.core.gateway.client.connection import GatewayConnection
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

# The most requests that are sent before the first of their responses is needed.
AHEAD = 64


class Connections:
    """Builds connections to the bucket and to servers; nothing is sent here.

    `on_retry` is told of each failure after which a request is sent again.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        on_retry: Callable[[OrchestratorError], None],
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._on_retry = on_retry

    @property
    def bucket(self) -> str:
        """The bucket. Raises UsageError where none is configured, or the settings are broken."""
        if self._settings.problem is not None:
            raise self._settings.problem
        bucket = self._settings.bucket_name
        if bucket is None:
            has_server = bool(self._environment.get(VIA_VARIABLE))
            via = f"; {VIA_VARIABLE} is for {VIA_COMMANDS} alone" if has_server else ""
            raise UsageError(
                "no bucket is configured",
                hint="set ORCHESTRATOR_BUCKET or --bucket; without an account: "
                f"`orchestrator sandbox`{via}",
            )
        from orchestrator_cli.core.s3.connection.config import is_bucket_name

        if not is_bucket_name(bucket):
            hint = "there is no key prefix option" if "/" in bucket else None
            raise UsageError(f"{printable(bucket)!r} is not a bucket name", hint=hint)
        return bucket

    @property
    def usable_bucket(self) -> str | None:
        """The bucket; None where there is none that can be used."""
        try:
            return self.bucket
        except UsageError:
            return None

    @property
    def region(self) -> str:
        """The region. Raises UsageError where neither an option nor the environment names one."""
        names = ("AWS_REGION", "AWS_DEFAULT_REGION")
        region = self._settings.region or next(
            filter(None, map(self._environment.get, names)), None
        )
        if region is None:
            raise UsageError("no region is configured", hint="set AWS_REGION or --region")
        return region

    def ca_bundle(self, url: str) -> str | None:
        """Return the file of CAs to trust. Raises UsageError where HTTPS cannot read it."""
        bundle = self._environment.get("AWS_CA_BUNDLE") or self._environment.get(
            "REQUESTS_CA_BUNDLE"
        )
        if bundle and url.startswith("https:"):
            from orchestrator_cli.core.files.small_file import check_small_file

            check_small_file("AWS_CA_BUNDLE", bundle)
        return bundle or None

    def store(self, concurrency: int, limit_rate: int | None, *, retries: bool) -> ArtifactStore:
        """Build the store; without `retries` it sends no request twice. Raises UsageError."""
        from orchestrator_cli.core.base.retry import without_retries
        from orchestrator_cli.core.http.rate_limiter import RateLimiter
        from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
        from orchestrator_cli.core.s3.connection.config import S3Settings
        from orchestrator_cli.core.s3.connection.session import S3Session

        settings = S3Settings(
            bucket=self.bucket,
            region=self._settings.region,
            endpoint_url=self._settings.endpoint_url,
            profile=self._settings.profile,
            concurrency=min(concurrency, AHEAD),
            environment=self._environment,
            demands=self._settings.demands,
        )
        retry = self._retry_policy() if retries else without_retries()
        rate_limit = RateLimiter(limit_rate) if limit_rate else None
        return ArtifactStore(S3Session(settings, retry, rate_limit))

    def gateway(self, via: Via, concurrency: int, limit_rate: int | None) -> GatewayConnection:
        """Build the connection to a server; no AWS setting is looked at."""
        from orchestrator_cli.core.gateway.client.connection import GatewayConnection, ViaSettings
        from orchestrator_cli.core.http.proxy import proxy_variables
        from orchestrator_cli.core.http.rate_limiter import RateLimiter

        file = via.token_file
        token = _read_token(file) if file else self._environment.get(VIA_TOKEN_VARIABLE)
        settings = ViaSettings(
            via.url,
            token or None,
            self.ca_bundle(via.url),
            proxy_variables(self._environment),
            RateLimiter(limit_rate) if limit_rate else None,
            min(concurrency, AHEAD),
        )
        return GatewayConnection(settings, self._retry_policy())

    def _retry_policy(self) -> RetryPolicy:
        from orchestrator_cli.core.base.retry import RetryPolicy

        patience = self._settings.patience
        if patience is None:
            return RetryPolicy(on_retry=self._on_retry)
        return RetryPolicy(patience_seconds=patience.total_seconds(), on_retry=self._on_retry)


def _read_token(file: Path) -> str:
    from orchestrator_cli.core.files.small_file import read_small_file

    text, _ = read_small_file(file)
    return text.strip()
