"""The composition root: builds the clock, output, metrics and connections that a command needs.

Each of these is made at its first use.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.configuration.environment import EXECUTION_ID_VARIABLE
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.cli.connections import AHEAD, Connections
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator_cli.cli.metrics_setup import CommandMetrics
    from orchestrator_cli.cli.options.via_options import Via
    from orchestrator_cli.cli.output import Messages, Output
    from orchestrator_cli.cli.output.progress import Progress
    from orchestrator_cli.cli.page_links import PageLinks
    from orchestrator_cli.cli.waiting_notice import WaitingNotice
    from orchestrator_cli.core.base.retry import RetryPolicy
    from orchestrator_cli.core.gateway.client.connection import GatewayConnection
    from orchestrator_cli.core.metrics.recorder import MetricsRecorder
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
    from orchestrator_cli.core.s3.connection.connection import Connection
    from orchestrator_cli.core.transfer.engine import TransferEngine
    from orchestrator_cli.library.bucket import Bucket
    from orchestrator_cli.library.execution import Execution
    from orchestrator_cli.library.source import ExecutionSource


class App:
    """Everything that a command works with: settings, output, connections and metrics.

    A command sets `resumes` if it continues where it stopped when it is run again, and clears
    `says_waiting` if its standard error belongs to somebody else, such as the command of `run`.
    """

    def __init__(self, settings: Settings | None = None, *, is_completing: bool = False) -> None:
        """Take the global options, which may not be known yet."""
        self.settings = settings or Settings()
        self.is_completing = is_completing
        self.metrics: CommandMetrics | None = None
        self.resumes = False
        self.says_waiting = True
        self._waiting: WaitingNotice | None = None

    @cached_property
    def output(self) -> Output:
        """Standard output, for the data of a command."""
        from orchestrator_cli.cli.output import Output

        return Output(self.settings.color, os.environ)

    @cached_property
    def messages(self) -> Messages:
        """Standard error, for notes, warnings, failures and progress."""
        from orchestrator_cli.cli.output import Messages

        return Messages(self.settings.color, self.settings.verbosity, os.environ)

    @property
    def lost_output(self) -> bool:
        """True if printing failed for another reason than a closed pipe."""
        return "output" in vars(self) and self.output.lost_output

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC)

    def new_execution_id(self) -> str:
        """Return a fresh ULID."""
        from orchestrator_cli.core.executions.ids import random_execution_id

        return random_execution_id(self.now())

    def bucket(self, store: ArtifactStore) -> Bucket:
        """Return the bucket of a store, as the Python library has it."""
        from orchestrator_cli.library.bucket import Bucket

        return Bucket(store, self.now)

    def execution(self, text: str, store: ArtifactStore) -> Execution:
        """Return the execution that a selector stands for, as the Python library has it."""
        with _variable_named(text):
            return self.bucket(store).execution(text)

    def resolve_id(self, text: str, store: ArtifactStore) -> str:
        """Return the execution id that a selector stands for: a ULID, a prefix, @latest, a URL."""
        from orchestrator_cli.library.source import BucketSource

        return self.resolve(text, BucketSource(store, self.now()))

    def resolve(self, text: str, source: ExecutionSource) -> str:
        """Return the execution id that a selector stands for in a bucket or at a server."""
        with _variable_named(text):
            return source.resolve(text, self.now())

    @cached_property
    def connections(self) -> Connections:
        """The connections to the bucket and to servers."""
        return Connections(self.settings, os.environ, self._on_retry)

    def store(
        self, concurrency: int = AHEAD, limit_rate: int | None = None, *, retries: bool = True
    ) -> ArtifactStore:
        """Build the store; without `retries` it sends no request twice.

        Raises UsageError where no bucket is configured.
        """
        store = self.connections.store(concurrency, limit_rate, retries=retries)
        if retries:
            session = store.session
            source = "the source of the credentials"
            self._say_waiting(
                store.retry, lambda: source if session.awaits_credentials else session.endpoint_url
            )
        return store

    def _say_waiting(self, retry: RetryPolicy, peer: Callable[[], str]) -> None:
        from orchestrator_cli.cli.waiting_notice import WaitingNotice

        context = click.get_current_context(silent=True)
        if self.says_waiting and self._waiting is None and context is not None:
            self._waiting = WaitingNotice(retry, peer, self.messages.note)
            self._waiting.start()
            context.call_on_close(self._waiting.end)

    def command_environment(self, execution_id: str) -> dict[str, str]:
        """Return the environment of a command that `run` runs: ours, and which execution it is."""
        return {**os.environ, **self.settings.variables(), EXECUTION_ID_VARIABLE: execution_id}

    def storable_labels(self, labels: dict[str, str]) -> dict[str, str]:
        """Return labels with secrets masked, and warn of each one."""
        from orchestrator_cli.core.base.command_secrets import mask_labels

        masked = mask_labels(labels, os.environ)
        for name in [name for name, text in masked.items() if text != labels[name]]:
            self.messages.warn(
                f"label {name} looks like a secret, and everybody may read labels: "
                "its secret part is stored as …"
            )
        return masked

    @property
    def pages(self) -> PageLinks:
        """The links to the pages of `serve`."""
        from orchestrator_cli.cli.page_links import PageLinks

        return PageLinks(self.settings.ui_url, self.messages)

    def engine(
        self,
        connection: Connection,
        concurrency: int,
        progress: Progress | None = None,
    ) -> TransferEngine:
        """Build the threads and the memory budget of a transfer."""
        from orchestrator_cli.cli.output.progress import Progress
        from orchestrator_cli.core.http.concurrency import raise_open_file_limit
        from orchestrator_cli.core.transfer.engine import TransferEngine

        raise_open_file_limit(concurrency)
        counted = progress or Progress("moving")
        on_bytes, on_spared = counted.add_bytes, counted.add_spared
        return TransferEngine(
            connection, concurrency, on_bytes, observer=self.meter, on_spared=on_spared
        )

    @property
    def meter(self) -> MetricsRecorder | None:
        """The metrics recorder, where metrics were asked for."""
        return self.metrics.meter if self.metrics is not None else None

    def enable_metrics(self, command: str) -> CommandMetrics:
        """Start the metrics of a command, with their destinations."""
        if self.metrics is None:
            from orchestrator_cli.cli.metrics_setup import CommandMetrics

            self.metrics = CommandMetrics(command, os.environ, self.messages.warn)
        return self.metrics

    def write_metrics(self) -> None:
        """Export the metrics since the last time; a failure is only a warning."""
        if self.metrics is not None:
            self.metrics.export()

    def source(
        self, via: Via | None, concurrency: int = AHEAD, limit_rate: int | None = None
    ) -> ExecutionSource:
        """Build what reaches executions: in the bucket, or through a server."""
        if via is not None:
            from orchestrator_cli.core.gateway.client.source import GatewaySource

            return GatewaySource(self.gateway(via, concurrency, limit_rate))
        from orchestrator_cli.library.source import BucketSource

        return BucketSource(self.store(concurrency, limit_rate), self.now())

    def gateway(
        self, via: Via, concurrency: int = AHEAD, limit_rate: int | None = None
    ) -> GatewayConnection:
        """Build the connection to a server, and warn where its token can be read on the way."""
        connection = self.connections.gateway(via, concurrency, limit_rate)
        if connection.sends_token_in_clear:
            self.messages.warn("the token goes to the server over plain HTTP; use https://")
        peer = f"{connection.base_url} or the storage behind it"
        self._say_waiting(connection.retry, lambda: peer)
        return connection

    def _on_retry(self, error: OrchestratorError) -> None:
        if self.meter is not None:
            self.meter.retry(error)
        if self._waiting is not None:
            self._waiting.note_error(error)
        self.messages.detail(f"retrying: {error.message}")


pass_app = click.make_pass_decorator(App)


@contextlib.contextmanager
def _variable_named(text: str) -> Iterator[None]:
    """Name the variable in a UsageError of an ID that it holds."""
    try:
        yield
    except UsageError as error:
        if text != os.environ.get(EXECUTION_ID_VARIABLE):
            raise
        raise UsageError(f"{EXECUTION_ID_VARIABLE}: {error.message}", hint=error.hint) from None
