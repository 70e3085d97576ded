"""Answers come in order, and only so much work is done ahead of who takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from orchestrator_cli.core.base.ordered_map import ordered_map


class Source:
    """Items that are counted as they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked = 0

    def __iter__(self) -> Iterator[int]:
        for item in range(self._count):
            self.asked += 1
            yield item


class Gates:
    """Work that ends for each item only when the test says so."""

    def __init__(self, count: int) -> None:
        self.began = [threading.Event() for _ in range(count)]
        self.may_end = [threading.Event() for _ in range(count)]
        self.in_time = True

    def work(self, item: int) -> int:
        self.began[item].set()
        self.in_time &= self.may_end[item].wait(30)
        return item * 10


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_answers_come_in_order(count: int, ahead: int) -> None:
    answers = list(ordered_map(lambda item: item * 10, range(count), ahead, ahead))
    assert answers == [item * 10 for item in range(count)]


def test_answers_come_in_order_whichever_ends_first() -> None:
    gates = Gates(3)
    answers = ordered_map(gates.work, range(3), 3, 3)
    taken: list[int] = []
    taker = threading.Thread(target=lambda: taken.extend(answers))
    taker.start()
    for item in (2, 1):
        assert gates.began[item].wait(30)
        gates.may_end[item].set()
    assert taken == []
    gates.may_end[0].set()
    taker.join(30)
    assert taken == [0, 10, 20]


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_only_so_many_answers_wait(ahead: int) -> None:
    source = Source(100)
    began: list[int] = []

    def work(item: int) -> int:
        began.append(item)
        return item

    answers = ordered_map(work, source, ahead, ahead)
    assert source.asked == 0
    for taken in range(1, 20):
        next(answers)
        # One more is asked for to know that there is more than one.
        assert source.asked <= taken + max(ahead, 2)
        assert len(began) <= taken + ahead - 1
    answers.close()  # type: ignore[attr-defined]


def test_work_is_done_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=30)
    answers = ordered_map(lambda item: together.wait() >= 0, range(4), 4, 4)
    assert list(answers) == [True] * 4


def test_no_more_threads_run_than_are_pending() -> None:
    lock = threading.Lock()
    busy = [0]
    most = [0]

    def work(item: int) -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        with lock:
            busy[0] -= 1

    list(ordered_map(work, range(200), 3, 3))
    assert most[0] <= 3


def test_a_single_item_needs_no_thread() -> None:
    answers = ordered_map(lambda item: threading.current_thread(), [1], 4, 4)
    assert list(answers) == [threading.current_thread()]


def test_who_stops_taking_stops_the_work() -> None:
    gates, source = Gates(100), Source(100)
    gates.may_end[0].set()
    answers = ordered_map(gates.work, source, 3, 3)
    assert next(answers) == 0
    # Work is still under way; nobody waits for it.
    answers.close()  # type: ignore[attr-defined]
    asked = source.asked
    for gate in gates.may_end:
        gate.set()
    assert gates.in_time
    assert asked <= 4
    assert source.asked == asked
    # What had begun may end; nothing begins any more.
    assert not any(gate.is_set() for gate in gates.began[asked:])


def test_a_failure_is_raised_in_its_turn_and_ends_it() -> None:
    source = Source(1000)

    def work(item: int) -> int:
        if item == 3:
            raise ValueError("item 3")
        return item

    answers = ordered_map(work, source, 4, 4)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(answers)
    assert next(answers, "ended") == "ended"
    assert source.asked <= 8


def test_a_failure_of_a_single_item_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda item: 1 // item, [0], 4, 4))


def test_a_failure_of_the_source_is_raised() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the listing broke")

    with pytest.raises(OSError, match="the listing broke"):
        list(ordered_map(lambda item: item, items(), 2, 2))
