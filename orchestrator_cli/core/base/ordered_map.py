"""Map a function over items in threads: results in order, a bounded number of them waiting."""

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
Result = TypeVar("Result")


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, max_pending: int
) -> Iterator[Result]:
    """Yield the results in the order of the items; closing the iterator ends the work.

    At most `max_pending` results wait to be taken. A single item is worked on in the calling
    thread.
    """
    source = iter(items)
    begun = list(islice(source, 2))
    if len(begun) < 2:
        yield from map(work, begun)
        return
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(
        min(workers, max_pending), "map", partial(bind_token, current_token())
    )
    pending: deque[Future[Result]] = deque()
    try:
        for item in chain(begun, source):
            if len(pending) >= max_pending:
                yield wait_result(pending.popleft())
            pending.append(executor.submit(work, item))
        while pending:
            yield wait_result(pending.popleft())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def wait_result(future: Future[Result]) -> Result:
    """Wait for a future, hearing signals meanwhile, and return its result."""
    from concurrent.futures import wait

    while not future.done():
        wait([future], SIGNAL_POLL_SECONDS)
    return future.result()
