"""The logs of one execution, those that are stored and those that are still being written."""

from __future__ import annotations

import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.logs.finding import (
    StoredLogs,
    find_log,
    first_log,
    list_logs,
    no_such_log,
)
from orchestrator_cli.core.executions.record.waiting import retry_if_new

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.live import AnnouncedLogs
    from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy
    from orchestrator_cli.core.s3.bucket.reader import ObjectReader
    from orchestrator_cli.library.source import ExecutionSource


class ExecutionLogs:
    """The logs of one execution; with `give_up`, which says until when, they are followed."""

    def __init__(
        self, app: App, source: ExecutionSource, execution_id: str, give_up: GiveUpPolicy | None
    ) -> None:
        self._app = app
        self.source = source
        self.execution_id = execution_id
        self._give_up = give_up

    @property
    def is_following(self) -> bool:
        """Return True where logs are shown until they end, and not as far as they are there."""
        return self._give_up is not None

    @property
    def store(self) -> ObjectReader:
        """The objects that the logs are read from."""
        return self.source.objects

    @cached_property
    def live(self) -> AnnouncedLogs:
        """The logs that are still being written."""
        from orchestrator_cli.cli.commands.logs.live import AnnouncedLogs
        from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy

        give_up = self._give_up or GiveUpPolicy()
        return AnnouncedLogs(self._app, self.source, self.execution_id, give_up)

    def size_of(self, name: str) -> int:
        """Return how long a log is, about."""
        try:
            return find_log(self.store, self.execution_id, name).size_bytes
        except NotFoundError:
            return self.live.logs.names().get(name.removesuffix(".log"), 0)

    def choose(self, *, all_logs: bool) -> tuple[str, ...]:
        """Return the names of the logs to show where none was named, and tell the user.

        Raises NotFoundError where there is none.
        """
        stored = self._list_stored()
        # Whoever finished an execution may not have had what its writer left in S3.
        sizes = stored.sizes(self.live.logs.names() if stored.is_running or not stored.logs else {})
        if not sizes and stored.is_running and self.is_following:
            sizes = stored.sizes(self.live.logs.wait_for_names())
        first = first_log(sizes)
        if stored.is_running and not self.is_following:
            self.live.note_running()
        if first is None:
            raise no_such_log(self.store, self.execution_id, None)
        if all_logs:
            return tuple(sizes)
        if sys.stderr.isatty():
            self._app.messages.note(_choice(stored, list(sizes), first))
        return (first,)

    def _list_stored(self) -> StoredLogs:
        read = partial(list_logs, self.store, self.execution_id, self.source.read_record)
        if not self.is_following:
            return read()
        # One that is followed may be in the making.
        return retry_if_new(read, self.execution_id, self._app.now(), self.store.retry.wait)


def _choice(stored: StoredLogs, names: list[str], first: str) -> str:
    from orchestrator_cli.cli.output import human_size

    def describe(name: str) -> str:
        # A heartbeat is behind a log that is being written.
        log = stored.logs.get(name)
        return name if log is None else f"{name} ({human_size(log.size_bytes)})"

    why = ", as the execution failed" if stored.has_failed and first == "stderr" else ""
    others = [describe(name) for name in names if name != first]
    return f"this is {first}{why}" + (f"; there is also {', '.join(others)}" if others else "")
