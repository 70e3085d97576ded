"""Files that several threads have at the same moment are offered to a server together."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.remote_execution import FileAnswer, RemoteExecution

# An offer, and the answer to it.
_Asked = tuple[dict[str, Any], Future[FileAnswer]]

# Each takes along what has come up while the others were under way.
_REQUESTS_AT_ONCE = 2


class Window:
    """Offers what several threads have at the same moment in one request."""

    def __init__(self, execution: RemoteExecution) -> None:
        self._execution = execution
        self._waiting: list[_Asked] = []
        self._lock = threading.Lock()
        self._requests = threading.BoundedSemaphore(_REQUESTS_AT_ONCE)

    def ask(self, offer: dict[str, Any]) -> FileAnswer:
        """Return the answer about one file."""
        (answer,) = self.ask_all([offer])
        return answer

    def ask_all(self, offers: Iterable[dict[str, Any]]) -> list[FileAnswer]:
        """Return the answers about some files."""
        asked: list[_Asked] = [(offer, Future()) for offer in offers]
        most = self._execution.terms.max_files
        with self._lock:
            self._waiting += asked
        with self._requests:
            # What another thread has taken along is awaited below.
            while not all(answer.done() for _, answer in asked):
                with self._lock:
                    batch, self._waiting = self._waiting[:most], self._waiting[most:]
                if not batch:
                    break
                self._settle(batch)
        return [answer.result() for _, answer in asked]

    def _settle(self, batch: list[_Asked]) -> None:
        try:
            for (_, answer), told in zip(batch, self._look(batch), strict=True):
                if told.error is not None:
                    answer.set_exception(told.error)
                else:
                    answer.set_result(told)
        except UsageError as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One that the server does not take must not be the end of the others.
            for item in batch:
                self._settle([item])
        except BaseException as error:  # noqa: BLE001 - raised where the answers are awaited
            for _, answer in batch:
                answer.set_exception(error)

    def _look(self, batch: list[_Asked]) -> list[FileAnswer]:
        path = printable(batch[0][0]["path"])
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        return self._execution.check_files([offer for offer, _ in batch], f"offer of {path}{more}")
