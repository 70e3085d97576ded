"""What several threads make, merged for one reader as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from orchestrator_cli.core.base.cancellation import CancelToken, current_token
from orchestrator_cli.core.base.merging import merge, raise_errors


def in_turns(names: str, turn: threading.Barrier) -> Callable[[], Iterator[str]]:
    def source() -> Iterator[str]:
        for name in names:
            turn.wait(20)
            yield name

    return source


def test_items_come_in_the_order_of_their_source_and_none_waits_for_another_to_end() -> None:
    # Neither could begin its next one if the other one were read up first.
    turn = threading.Barrier(2)
    merged = list(merge([in_turns("abcdef", turn), in_turns("uvwxyz", turn)], CancelToken()))
    assert [one for one in merged if str(one) < "m"] == list("abcdef")
    assert [one for one in merged if str(one) > "m"] == list("uvwxyz")


def test_the_error_of_one_source_comes_in_its_place_and_ends_no_other() -> None:
    failed = threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("of one")

    def other() -> Iterator[int]:
        assert failed.wait(20)
        yield 2

    items = merge([failing, other], CancelToken())
    assert next(items) == 1
    error = next(items)
    assert isinstance(error, KeyError)
    failed.set()
    assert list(items) == [2]
    with pytest.raises(KeyError, match="of one"):
        list(raise_errors([1, error]))


def test_a_reader_that_takes_no_more_stops_the_sources() -> None:
    stop, ended = CancelToken(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            # The requests of a source check the token of its thread.
            assert current_token() is stop
            while True:
                yield 1
        finally:
            ended.set()

    items = merge([endless], stop)
    assert next(items) == 1
    items.close()
    assert stop.is_set()
    assert ended.wait(20)
