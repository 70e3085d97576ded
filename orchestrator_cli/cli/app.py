"""Flags, environment and config file become settings; the store is built when first asked for.

The composition root: clock, randomness and clients come from here, and only this module and
`options` read the environment.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.environment import EXECUTION_ID_ENVVAR, VIA_TOKEN_VARIABLE
from orchestrator_cli.cli.settings import Settings
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable, without_secrets
from orchestrator_cli.core.http.proxy import proxy_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orchestrator_cli.cli.metrics_setup import Measuring
    from orchestrator_cli.cli.options.via_options import Via
    from orchestrator_cli.cli.output import Output
    from orchestrator_cli.cli.waiting_notice import WaitingNotice
    from orchestrator_cli.core.base.retry import RetryPolicy
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.gateway.client.connection import GatewayConnection
    from orchestrator_cli.core.metrics.registry import MetricsRecorder
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
    from orchestrator_cli.core.s3.connection.protocol import Connection
    from orchestrator_cli.core.transfer.download.source import ExecutionSource, FoundExecution
    from orchestrator_cli.core.transfer.engine import TransferEngine

# Requests sent ahead where the answers are taken in order.
_AHEAD = 64


@dataclass
class App:
    """What a command works with.

    `resumes` is set by a command that goes on where it ended when it is run again; `says_waiting`
    is taken away by one whose standard error is not its own.
    """

    settings: Settings = field(default_factory=Settings)
    measuring: Measuring | None = None
    resumes: bool = False
    says_waiting: bool = True
    is_completing: bool = False
    _waiting: WaitingNotice | None = None

    @cached_property
    def output(self) -> Output:
        """Where tables, notes and progress go."""
        from orchestrator_cli.cli.output import Output

        return Output(self.settings.color, self.settings.verbosity, os.environ)

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC)

    def new_execution_id(self) -> str:
        """Return a fresh ULID."""
        import secrets

        from orchestrator_cli.core.executions.ids import new_execution_id

        return new_execution_id(self.now(), secrets.token_bytes(10))

    def resolve_id(self, text: str, store: ArtifactStore) -> str:
        """Return the execution id that a selector stands for: a ULID, a prefix, @latest, a URL."""
        from orchestrator_cli.core.executions.ids import is_execution_id

        if is_execution_id(text.upper()):
            # The common case imports nothing more.
            return text.upper()
        from orchestrator_cli.core.transfer.download.source import BucketSource

        return self.resolve(text, BucketSource(store, self.now()))

    def resolve(self, text: str, source: ExecutionSource) -> str:
        """Return the execution id that a selector stands for in a bucket or at a server."""
        try:
            return source.resolve(text, self.now())
        except UsageError as error:
            if text != os.environ.get(EXECUTION_ID_ENVVAR):
                raise
            raise UsageError(f"{EXECUTION_ID_ENVVAR}: {error.message}", hint=error.hint) from None

    def store(
        self, concurrency: int = _AHEAD, limit_rate: int | None = None, *, patient: bool = True
    ) -> ArtifactStore:
        """Build the store; an impatient one sends no request twice.

        Raises UsageError where no bucket is configured.
        """
        from orchestrator_cli.core.base.rate_limiter import RateLimiter
        from orchestrator_cli.core.base.retry import RetryPolicy
        from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
        from orchestrator_cli.core.s3.connection.session import S3Session, S3Settings

        settings = S3Settings(
            bucket=self.bucket,
            region=self.settings.region,
            endpoint_url=self.settings.endpoint_url,
            profile=self.settings.profile,
            concurrency=min(concurrency, _AHEAD),
            environment=os.environ,
            proxies=proxy_variables(os.environ),
            demands=self.settings.demands,
        )
        retry = self._retry_policy() if patient else RetryPolicy(attempts=1, patience_seconds=0)
        rate_limit = RateLimiter(limit_rate) if limit_rate else None
        store = ArtifactStore(S3Session(settings, retry, rate_limit))
        if patient and self.says_waiting:
            self._say_waiting(retry, store.clients.endpoint_url)
        return store

    def _say_waiting(self, retry: RetryPolicy, endpoint: str) -> None:
        from orchestrator_cli.cli.waiting_notice import WaitingNotice

        context = click.get_current_context(silent=True)
        if self._waiting is None and context is not None:
            self._waiting = WaitingNotice(retry, without_secrets(endpoint), self.output.note)
            self._waiting.start()
            context.call_on_close(self._waiting.end)

    @property
    def region(self) -> str:
        """The region. Raises UsageError where neither an option nor the environment names one."""
        names = ("AWS_REGION", "AWS_DEFAULT_REGION")
        region = self.settings.region or next(filter(None, map(os.environ.get, names)), None)
        if region is None:
            raise UsageError("no region is configured", hint="set AWS_REGION or --region")
        return region

    def check_bucket(self) -> None:
        """Raise UsageError where no bucket is configured, without building anything."""
        _ = self.bucket

    def command_environment(self, execution_id: str) -> dict[str, str]:
        """Return the environment of a command that `run` runs: ours, and which execution it is."""
        return {**os.environ, **self.settings.variables(), EXECUTION_ID_ENVVAR: execution_id}

    def storable_labels(self, labels: dict[str, str]) -> dict[str, str]:
        """Return labels without the secrets that can be told, and say of each that is masked."""
        from orchestrator_cli.core.base.command_secrets import mask_labels

        masked = mask_labels(labels, os.environ)
        for name in [name for name, text in masked.items() if text != labels[name]]:
            self.output.warn(
                f"label {name} looks like a secret, and everybody may read labels: "
                "what looks so is stored as …"
            )
        return masked

    def page_url(self, execution_id: str, log: str = "") -> str | None:
        """Return where people see an execution, or a log of it; None where nothing is configured.

        Raises UsageError.
        """
        if not self.settings.ui_url:
            return None
        from orchestrator_cli.core.executions.links import page_url
        from orchestrator_cli.core.http.url import parse_service_url

        base = parse_service_url(self.settings.ui_url, "--ui-url", "https://tests.example.com")
        return page_url(base.url, execution_id, log)

    @property
    def has_browser(self) -> bool:
        """Whether a page can be opened where somebody sees it."""
        names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
        return sys.platform == "darwin" or any(map(os.environ.get, names))

    def transfers(
        self, connection: Connection, concurrency: int, on_bytes: Any = lambda size: None
    ) -> TransferEngine:
        """Build the threads and the memory budget of a transfer."""
        from orchestrator_cli.core.transfer.engine import TransferEngine

        return TransferEngine(connection, concurrency, on_bytes, observer=self.meter)

    @property
    def meter(self) -> MetricsRecorder | None:
        """What counts, where that was asked for."""
        return self.measuring.meter if self.measuring is not None else None

    def measure(self, command: str) -> Measuring:
        """Return what counts from now on, and knows where the counts go."""
        if self.measuring is None:
            from orchestrator_cli.cli.metrics_setup import Measuring

            self.measuring = Measuring(command, os.environ, self.output.warn)
        return self.measuring

    def write_metrics(self) -> None:
        """Hand over what was counted since the last time; a failure is a warning only."""
        if self.measuring is not None:
            self.measuring.export()

    def ca_bundle(self, url: str) -> str | None:
        """Return the file of CAs to trust. Raises UsageError where HTTPS needs it, unreadable."""
        bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
        if bundle and url.startswith("https:"):
            from orchestrator_cli.core.files.small_file import check_small_file

            check_small_file("AWS_CA_BUNDLE", bundle)
        return bundle or None

    @property
    def bucket(self) -> str:
        """The bucket. Raises UsageError where none is configured."""
        bucket = (self.settings.bucket or "").removeprefix("s3://").rstrip("/")
        if not bucket:
            raise UsageError(
                "no bucket is configured",
                hint="set ORCHESTRATOR_BUCKET or --bucket; without an account: "
                "`orchestrator sandbox`",
            )
        from orchestrator_cli.core.s3.connection.config import is_bucket_name

        if not is_bucket_name(bucket):
            hint = "there is no key prefix option" if "/" in bucket else None
            raise UsageError(f"{printable(bucket)!r} is not a bucket name", hint=hint)
        return bucket

    def source(self, via: Via | None, concurrency: int = _AHEAD) -> ExecutionSource:
        """Build what executions are read from: the bucket, or a server."""
        if via is not None:
            from orchestrator_cli.core.gateway.client.source import GatewaySource

            return GatewaySource(self.gateway(via, concurrency))
        from orchestrator_cli.core.transfer.download.source import BucketSource

        return BucketSource(self.store(concurrency), self.now(), _read_judged)

    def gateway(
        self, via: Via, concurrency: int = _AHEAD, limit_rate: int | None = None
    ) -> GatewayConnection:
        """Build the connection to a server; no AWS setting is looked at."""
        from orchestrator_cli.core.base.rate_limiter import RateLimiter
        from orchestrator_cli.core.gateway.client.connection import GatewayConnection, ViaSettings

        file = via.token_file
        token = _read_token(file) if file else os.environ.get(VIA_TOKEN_VARIABLE)
        settings = ViaSettings(
            via.url,
            token or None,
            self.ca_bundle(via.url),
            proxy_variables(os.environ),
            RateLimiter(limit_rate) if limit_rate else None,
            min(concurrency, _AHEAD),
        )
        connection = GatewayConnection(settings, self._retry_policy())
        if connection.sends_token_in_clear:
            self.output.warn("the token goes to the server over plain HTTP; use https://")
        return connection

    def _retry_policy(self) -> RetryPolicy:
        from orchestrator_cli.core.base.retry import RetryPolicy

        policy = RetryPolicy(on_retry=self._note_retry)
        patience = self.settings.patience
        if patience is None:
            return policy
        return replace(policy, patience_seconds=patience.total_seconds())

    def _note_retry(self, error: OrchestratorError) -> None:
        if self.meter is not None:
            self.meter.retry(error)
        if self._waiting is not None:
            self._waiting.note_error(error)
        self.output.detail(f"retrying: {error.message}")


pass_app = click.make_pass_decorator(App)


def _read_token(file: Path) -> str:
    from orchestrator_cli.core.files.small_file import read_small_file

    text, _ = read_small_file(file)
    return text.strip()


def _read_judged(
    store: ArtifactStore, ids: Iterable[str], is_judged: Callable[[ExecutionMetadata], bool]
) -> Iterator[FoundExecution]:
    # Most commands read no record whole.
    from orchestrator_cli.core.live.reading.liveness import read_with_liveness

    return read_with_liveness(store, ids, is_judged)
