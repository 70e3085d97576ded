"""The tasks of one run: their source, those under way, and the results to give away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator_cli.core.http.transport import Request, Task

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class TaskState(Generic[T]):
    """A task that is under way, and the request that it waits to send."""

    task: Task[T]
    run: TaskRun[T]
    index: int
    request: Request | None = None


class TaskRun(Generic[T]):
    """Tasks that are taken one by one. With a `window`, their results come in the same order.

    No task is taken while so many results before it have not been given away.
    """

    def __init__(
        self,
        tasks: Iterable[Task[T]],
        *,
        window: int | None = None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self.failure: BaseException | None = None
        self.under_way: set[TaskState[T]] = set()
        self._may_begin = may_begin
        self._source = iter(tasks)
        self._window = window
        self._has_more = True
        self._taken = 0
        self._ended = 0
        self._given = 0
        # By the place in which each is given away.
        self._results: dict[int, T] = {}

    @property
    def wants_task(self) -> bool:
        """Whether one more may be taken; not while there are results to give away."""
        if not self._has_more or self.failure is not None or self.has_result:
            return False
        if self.under_way and not self._may_begin():
            return False
        return self._window is None or self._taken - self._given < self._window

    @property
    def has_result(self) -> bool:
        """Whether `pop_result` has one."""
        return self._given in self._results

    @property
    def is_finished(self) -> bool:
        """Whether every task has ended well and every result was given away."""
        return self.failure is None and not (self._has_more or self.under_way or self.has_result)

    def take(self) -> TaskState[T] | None:
        """Return the next task, or None after the last one. Raises what the source raises."""
        try:
            task = next(self._source)
        except StopIteration:
            self._has_more = False
            return None
        state = TaskState(task, self, self._taken)
        self._taken += 1
        self.under_way.add(state)
        return state

    def end(self, state: TaskState[T], result: T) -> None:
        """Note the result of a task."""
        self.under_way.discard(state)
        self._results[self._ended if self._window is None else state.index] = result
        self._ended += 1

    def fail(self, state: TaskState[T], failure: BaseException) -> None:
        """Note what a task has raised; the run fails with the first of these."""
        self.under_way.discard(state)
        self.failure = self.failure or failure

    def pop_result(self) -> T:
        """Return the next result."""
        self._given += 1
        return self._results.pop(self._given - 1)
