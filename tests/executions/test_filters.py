"""Which executions a filter takes."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.executions.filters import ExecutionFilter, parse_labels
from orchestrator_cli.core.executions.record.metadata import build_metadata
from tests.support.stored.executions import make_id

METADATA = build_metadata(
    execution_id=make_id(),
    status="completed",
    result="fail",
    test_suite="smoke",
    runner_type="onprem",
    bench_id="bench-7",
    reservation_id="r-1",
    artifact_status="complete",
    labels={"branch": "main", "build": "7"},
)
ONE_OF_EACH: list[tuple[str, Any]] = [
    ("results", "fail"),
    ("suites", "smoke"),
    ("runner_types", "onprem"),
    ("bench_ids", "bench-7"),
    ("reservation_ids", "r-1"),
    ("artifact_statuses", "complete"),
]


def wanting(name: str, *values: str) -> ExecutionFilter:
    fields: dict[str, Any] = {name: frozenset(values)}
    return ExecutionFilter(**fields)


@pytest.mark.parametrize(("name", "value"), ONE_OF_EACH)
def test_each_field_takes_its_value_and_no_other(name: str, value: str) -> None:
    assert wanting(name, value).matches(METADATA)
    assert wanting(name, "other", value).matches(METADATA)
    assert not wanting(name, "other").matches(METADATA)
    without = METADATA.model_copy(update={"result": None, "test_suite": None})
    if name in ("results", "suites"):
        assert not wanting(name, value).matches(without)


def test_labels_must_all_be_there() -> None:
    for labels, expected in (
        ({"branch": "main"}, True),
        ({"branch": "main", "build": "7"}, True),
        ({"branch": "main", "build": "8"}, False),
        ({"branch": "main", "colour": "red"}, False),
    ):
        assert ExecutionFilter(labels=labels).matches(METADATA) is expected


def test_an_empty_filter_takes_everything() -> None:
    assert ExecutionFilter().takes_everything
    assert ExecutionFilter().matches(METADATA)
    assert not ExecutionFilter(labels={"a": "b"}).takes_everything


def test_labels_are_parsed_as_they_are_typed() -> None:
    assert parse_labels(["a=b", "c=d=e", "empty=", "a=b"]) == {"a": "b", "c": "d=e", "empty": ""}
    for wrong in (["a"], ["=b"], ["a=b", "a=c"]):
        with pytest.raises(UsageError):
            parse_labels(wrong)
