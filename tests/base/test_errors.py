"""Every failure has its documented exit code, and carries what is to be reported."""

from __future__ import annotations

import inspect

import pytest

from orchestrator_cli.core.base import errors
from orchestrator_cli.core.base.errors import EXIT_CODES, InterruptedByUser, OrchestratorError

EXCEPTIONS = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, OrchestratorError)
]


# --- exit codes ------------------------------------------------------------------------------


def test_the_table_of_exit_codes_is_the_documented_one() -> None:
    assert list(EXIT_CODES) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]
    assert all(EXIT_CODES.values())


def test_every_failure_has_a_documented_exit_code_and_every_code_a_failure() -> None:
    codes = {exception.exit_code for exception in EXCEPTIONS}
    assert codes == set(EXIT_CODES) - {0}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OrchestratorError", 1),
        ("UsageError", 2),
        ("PartialFailureError", 3),
        ("NotFoundError", 4),
        ("AccessError", 5),
        ("ConflictError", 6),
        ("IntegrityError", 7),
        ("ArchivedError", 8),
        ("UnavailableError", 9),
        ("InterruptedByUser", 130),
    ],
)
def test_scripts_can_rely_on_an_exit_code(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_an_error_carries_what_is_to_be_reported(kind: type[OrchestratorError]) -> None:
    plain = kind("what failed")
    assert str(plain) == plain.message == "what failed"
    assert (plain.hint, plain.request_id, plain.code, plain.retryable) == (None, None, None, False)
    full = kind("what", hint="do", request_id="R", code="SlowDown", retryable=True)
    assert (full.hint, full.request_id, full.code, full.retryable) == ("do", "R", "SlowDown", True)


def test_an_interruption_is_caught_like_any_failure() -> None:
    assert issubclass(InterruptedByUser, Exception)
    assert not issubclass(InterruptedByUser, KeyboardInterrupt)
