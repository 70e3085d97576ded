"""Work on items in threads, a bounded number ahead of who takes the answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS, bind_token, current_token

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_in_order(
    work: Callable[[Item], Answer],
    items: Iterable[Item],
    ahead: int,
    first: int = 4,
    answer_seconds: Callable[[], float | None] = lambda: None,
) -> Iterator[Answer]:
    """Yield the answers in order, at most `ahead` of them waiting; stops when the taker stops.

    There are `first` threads, and more where that helps or answers are known to take long. A
    single item is worked on in the calling thread.
    """
    source = iter(items)
    begun = list(islice(source, 2))
    if len(begun) < 2:
        yield from map(work, begun)
        return
    from orchestrator_cli.core.base.growth import GrowingExecutor

    executor = GrowingExecutor(
        ahead, "ahead", partial(bind_token, current_token()), first, answer_seconds
    )
    waiting: deque[Future[Answer]] = deque()
    try:
        for item in chain(begun, source):
            if len(waiting) >= ahead:
                yield result_of(waiting.popleft())
            waiting.append(executor.submit_counted(partial(work, item)))
        while waiting:
            yield result_of(waiting.popleft())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def result_of(future: Future[Answer]) -> Answer:
    """Wait for a future, hearing signals meanwhile, and return its result."""
    from concurrent.futures import wait

    while not future.done():
        wait([future], SIGNAL_POLL_SECONDS)
    return future.result()
