"""A token that stops work, its children and its callbacks, and waits that hear signals."""

from __future__ import annotations

import threading

import pytest

from orchestrator_cli.core.base.cancellation import (
    CancelToken,
    bind_token,
    current_token,
    run_cancellable,
)


def test_a_token_sets_its_children_and_a_child_nobody_else() -> None:
    token = CancelToken()
    first, second = token.child(), token.child()
    grandchild = first.child()
    first.set()
    assert [one.is_set() for one in (token, first, second, grandchild)] == [
        False,
        True,
        False,
        True,
    ]
    token.set()
    assert second.is_set()
    assert token.child().is_set()


def test_a_callback_is_called_when_the_token_is_set_unless_it_was_removed() -> None:
    token, called = CancelToken(), list[str]()
    token.add_callback(lambda: called.append("kept"))
    remove = token.child().add_callback(lambda: called.append("removed"))
    remove()
    # As where the work has ended in the same moment.
    remove()
    assert called == []
    token.set()
    assert called == ["kept"]
    token.add_callback(lambda: called.append("late"))
    assert called == ["kept", "late"]


def test_a_token_is_bound_to_one_thread() -> None:
    own = CancelToken()
    seen: list[CancelToken | None] = []

    def work() -> None:
        seen.append(current_token())
        bind_token(own)
        seen.append(current_token())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None, own]
    assert current_token() is None


def test_work_in_a_thread_of_its_own_returns_or_raises_as_here() -> None:
    def fail() -> None:
        raise KeyError("missing")

    assert run_cancellable(threading.current_thread) is not threading.main_thread()
    with pytest.raises(KeyError, match="missing"):
        run_cancellable(fail)


def test_work_that_takes_too_long_is_abandoned() -> None:
    released = threading.Event()
    with pytest.raises(TimeoutError):
        run_cancellable(released.wait, seconds=0.01)
    released.set()
