"""Waits for growing logs: one poller for each log serves all clients that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from orchestrator_cli.api.logs.growing_log import GrowingLog
from orchestrator_cli.api.worker_pool import BoundedWorkerPool, BusyError
from orchestrator_cli.core.base.errors import OrchestratorError


@dataclass(eq=False)
class _Poller:
    task: asyncio.Task[None]
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0


class LogListeners:
    """Waits for logs to grow. Clients wait in the event loop, so that they occupy no thread."""

    def __init__(self, workers: BoundedWorkerPool) -> None:
        self._workers = workers
        self._pollers: dict[GrowingLog, _Poller] = {}

    async def wait_for_more(self, log: GrowingLog, offset: int, seconds: float) -> None:
        """Return once a log is longer than `offset` or has another state, or after `seconds`."""
        poller = self._pollers.get(log)
        if poller is None:
            poller = self._pollers[log] = _Poller(asyncio.create_task(self._poll(log)))
        poller.listeners += 1
        state = log.state
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while log.size_bytes <= offset and log.state is state:
                        await poller.polled.wait()
        finally:
            poller.listeners -= 1
            if not poller.listeners:
                poller.task.cancel()
                del self._pollers[log]

    async def _poll(self, log: GrowingLog) -> None:
        while True:
            # An error may be temporary, and nobody waits longer than `seconds` anyway.
            with contextlib.suppress(OrchestratorError, BusyError):
                await self._workers.run_read(log.poll)
            poller = self._pollers[log]
            poller.polled.set()
            poller.polled = asyncio.Event()
            await asyncio.sleep(log.poll_seconds)
