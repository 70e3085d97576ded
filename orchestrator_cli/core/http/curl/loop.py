"""Run many tasks in one thread; each yields requests and is sent their responses."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, TypeVar

from orchestrator_cli.core.http.concurrency import ConcurrencyController, open_file_limit
from orchestrator_cli.core.http.curl.driver import Completion, CurlDriver
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.curl.task_run import TaskRun, TaskState
from orchestrator_cli.core.http.proxy import InvalidProxyError
from orchestrator_cli.core.http.transport import (
    Cancelled,
    RateLimit,
    Request,
    Sleep,
    StopToken,
    Task,
    Waitable,
)

T = TypeVar("T")
# The tags of timers: the next request may begin; check for a first response.
_PACE = object()
_LOOK = object()
_LOOK_SECONDS = 0.01
# Connecting to a server that is near takes less, with TLS, even on a busy machine.
_FAR_SECONDS = 0.02
# TCP and TLS take one each, as a request does.
_CONNECT_ROUND_TRIPS = 2
# How many tasks go on before what they send is sent: with hundreds, the network would wait.
_TASKS_AT_ONCE = 16


class CurlLoop:
    """Sends the requests of many tasks at once. Only for the thread that made it.

    At most `max_in_flight` tasks are under way, and no more than the limit of open files allows;
    `ConcurrencyController` decides how many requests are in flight. While one run is suspended
    at a result, another may be begun; both go on while either does.
    """

    def __init__(
        self,
        options: ClientOptions,
        *,
        max_in_flight: int = 256,
        stop: StopToken | None = None,
        rate_limit: RateLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
        known_seconds: float | None = None,
    ) -> None:
        """`known_seconds` is what a response of this server has taken, where that is known."""
        self._most = max(1, min(max_in_flight, open_file_limit()))
        self._controller = ConcurrencyController(
            self._most, clock, known_seconds=known_seconds or 0.0
        )
        self._driver = CurlDriver(options, rate_limit, max_connections=self._most + 4)
        self._stop = stop
        self._waiting: deque[TaskState[Any]] = deque()
        # The work that other threads have ended for tasks; filled by those threads.
        self._done: deque[tuple[TaskState[Any], Waitable]] = deque()
        self._tasks_under_way = 0
        self._was_throttled = False
        self._paces = False
        self._looks = False
        self._is_far = False
        self._forget_stop = stop.add_callback(self._driver.wake) if stop else None

    @property
    def is_far(self) -> bool:
        """Whether connecting to the server was seen to take long."""
        return self._is_far

    def run(
        self, tasks: Iterable[Task[T]], may_begin: Callable[[], bool] = lambda: True
    ) -> Generator[T]:
        """Yield what each task returns, as it ends; tasks are taken only when they can begin.

        While `may_begin` says no, as where too much memory is held, none is taken unless none is
        under way. What a task raises ends all of this run's and is raised; closing the iterator
        ends them too. Raises Cancelled when the work should stop.
        """
        return self._drive(TaskRun(tasks, may_begin=may_begin))

    def map_ordered(self, tasks: Iterable[Task[T]]) -> Generator[T]:
        """Yield results as `run` does, in the order of the tasks; at most `max_in_flight` wait."""
        return self._drive(TaskRun(tasks, window=self._most))

    def throttled(self) -> None:
        """Begin fewer requests. A task calls it when its response told it to slow down."""
        self._was_throttled = True

    def close(self) -> None:
        """Drop all pending work and close all connections."""
        if self._forget_stop is not None:
            self._forget_stop()
        self._driver.close()

    def _drive(self, run: TaskRun[T]) -> Generator[T]:
        try:
            while not run.is_finished:
                may_take_more = self._take_tasks(run)
                if run.failure is not None:
                    raise run.failure
                if run.has_result:
                    yield run.pop_result()
                elif not run.is_finished:
                    # Where none of its tasks may begin yet, those of another run are in the way.
                    self._step(wait=not may_take_more)
        finally:
            self._end(run)

    def _take_tasks(self, run: TaskRun[Any]) -> bool:
        """Take a few tasks as far as there is room; return True where there may be more."""
        for _ in range(_TASKS_AT_ONCE):
            if not (run.wants_task and self._has_room()):
                return False
            state = run.take()
            if state is None:
                return False
            self._tasks_under_way += 1
            self._advance(state)
        return True

    def _has_room(self) -> bool:
        busy = self._driver.in_flight >= self._controller.limit
        return not busy and not self._waiting and self._tasks_under_way < self._most

    def _step(self, *, wait: bool) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Cancelled
        if not self._looks and not self._controller.has_response:
            self._looks = True
            self._driver.start_timer(_LOOK_SECONDS, _LOOK)
        for completion in self._driver.step(wait=wait and not self._done):
            if completion.tag is _PACE:
                self._paces = False
            elif completion.tag is _LOOK:
                self._looks = False
                self._look()
            else:
                self._take_completion(completion)
        self._take_done()
        self._start_waiting()

    def _look(self) -> None:
        """See how long the oldest request has waited, where none has been answered yet."""
        connecting = self._driver.seconds_connecting()
        self._is_far |= connecting >= _FAR_SECONDS
        self._controller.on_no_response(
            connecting / _CONNECT_ROUND_TRIPS or self._driver.seconds_without_response()
        )

    def _take_done(self) -> None:
        """Let a few of the tasks go on whose work in other threads has ended."""
        for _ in range(min(_TASKS_AT_ONCE, len(self._done))):
            state, work = self._done.popleft()
            if state not in state.run.under_way:
                continue
            try:
                result = work.result()
            except BaseException as error:  # noqa: BLE001 - the task decides
                self._advance(state, error=error)
            else:
                self._advance(state, result)

    def _take_completion(self, completion: Completion) -> None:
        state = completion.tag
        if not isinstance(state, TaskState) or state not in state.run.under_way:
            return
        response = completion.response
        self._was_throttled = False
        self._advance(state, response, completion.error)
        if self._was_throttled:
            self._controller.on_throttled(response.seconds if response else math.inf)
        elif response is not None:
            self._controller.on_response(response.seconds)

    def _advance(
        self,
        state: TaskState[Any],
        result: object = None,
        error: BaseException | None = None,
    ) -> None:
        """Let a task go on until it waits again or has ended."""
        try:
            wanted = state.task.throw(error) if error is not None else state.task.send(result)
        except StopIteration as end:
            self._tasks_under_way -= 1
            state.run.end(state, end.value)
        except BaseException as failure:  # noqa: BLE001 - raised by the run
            self._tasks_under_way -= 1
            state.run.fail(state, failure)
        else:
            self._wait_for(state, wanted)

    def _wait_for(self, state: TaskState[Any], wanted: Request | Sleep | Waitable) -> None:
        if isinstance(wanted, Sleep):
            self._driver.start_timer(wanted.seconds, state)
            return
        if not isinstance(wanted, Request):
            wanted.add_done_callback(partial(self._note_done, state))
            return
        state.request = wanted
        self._waiting.append(state)
        self._start_waiting()

    def _note_done(self, state: TaskState[Any], work: Waitable) -> None:
        self._done.append((state, work))
        self._driver.wake()

    def _start_waiting(self) -> None:
        """Start the requests that wait, as many as may be in flight and as fast as allowed."""
        while self._waiting and not self._paces:
            if self._driver.in_flight >= self._controller.limit:
                return
            seconds = self._controller.start_delay()
            if seconds > 0:
                self._paces = True
                self._driver.start_timer(seconds, _PACE)
                return
            self._start(self._waiting.popleft())

    def _start(self, state: TaskState[Any]) -> None:
        request, state.request = state.request, None
        if request is None:
            return
        try:
            self._driver.start(request, state)
        except (ValueError, InvalidProxyError) as error:
            self._advance(state, error=error)

    def _end(self, run: TaskRun[Any]) -> None:
        """End the tasks of a run that are still under way."""
        for state in list(run.under_way):
            run.under_way.discard(state)
            self._tasks_under_way -= 1
            self._driver.cancel(state)
            with contextlib.suppress(ValueError):
                self._waiting.remove(state)
            state.task.close()
