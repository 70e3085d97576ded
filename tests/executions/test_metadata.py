"""`metadata.json`: validated in both directions, and nothing of a newer version is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator_cli.core.base.errors import IntegrityError, UsageError
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Result,
    RunnerType,
    Status,
    build_metadata,
    parse_metadata,
)

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
SHA = "sha256:" + "a" * 64
START = datetime(2026, 1, 31, 8, 0, 0, 123_456, tzinfo=UTC)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
# Names that only a newer version can know; `model_…` because the library uses such names itself.
unknown_fields = st.dictionaries(
    st.sampled_from(["new", "x_y", "model_dump", "self", "cls", "__class__", "to_json", "é", ""]),
    json_values,
    max_size=3,
)
checksum_texts = st.sampled_from([None, SHA, f"{SHA}-10000", "md5:" + "0" * 32])
zones = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.builds(
    lambda microseconds, zone: (START + timedelta(microseconds=microseconds)).astimezone(zone),
    st.integers(-(10**16), 10**17),
    zones,
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    started, ended = sorted([draw(times), draw(times)])
    finished = draw(st.booleans())
    runner = draw(st.sampled_from([None, "ec2", "eks", "onprem"]))
    artifact = st.fixed_dictionaries(
        {
            "path": words,
            "size_bytes": st.integers(0, 50 * 2**40),
            "checksum": checksum_texts,
            "content_type": words,
        }
    )
    failure = st.fixed_dictionaries({"path": words, "error": words})
    fields: dict[str, Any] = {
        "schema_version": draw(st.integers(1, 9)),
        "execution_id": ID,
        "reservation_id": draw(st.none() | words),
        "runner_type": runner,
        "bench_id": draw(st.none() | words) if runner in (None, "onprem") else None,
        "test_suite": draw(st.none() | words),
        "result": draw(st.sampled_from(["pass", "fail", "error"])) if finished else None,
        "status": "completed" if finished else "running",
        "artifact_status": draw(st.sampled_from(["pending", "complete", "artifact_error"])),
        "started_at": draw(st.none() | st.just(started.isoformat())),
        "ended_at": draw(st.none() | st.just(ended.isoformat())),
        "artifact_count": draw(st.integers(0, 2**40)),
        "artifact_bytes": draw(st.integers(0, 2**60)),
        "manifest_sha256": draw(st.none() | st.just("0" * 64)),
        "artifacts": draw(st.none() | st.lists(with_unknown(artifact), max_size=2)),
        "failures": draw(st.lists(with_unknown(failure), max_size=2)),
        "unfinished_uploads": [],
        "tree_stored": draw(st.booleans()),
        "labels": draw(st.dictionaries(words, words, max_size=3)),
        "run": None,
    }
    return draw(unknown_fields) | fields


def with_unknown(known: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda new, fields: new | fields, unknown_fields, known)


def record(**fields: Any) -> bytes:
    return json.dumps({"execution_id": ID, **fields}).encode()


# --- round trips -----------------------------------------------------------------------------


@settings(max_examples=50)
@given(records())
def test_a_record_survives_being_read_and_written(fields: dict[str, Any]) -> None:
    metadata = parse_metadata(json.dumps(fields).encode(), ID)
    written = json.loads(metadata.to_json())
    for name in ("started_at", "ended_at"):
        # Times are written in UTC with milliseconds; everything else as it was.
        expected = fields.pop(name)
        actual = written.pop(name)
        assert (actual is None) == (expected is None)
        if expected is not None:
            read = datetime.fromisoformat(actual)
            assert (
                timedelta(0) <= datetime.fromisoformat(expected) - read < timedelta(seconds=0.001)
            )
            assert actual.endswith("Z")
    assert written == fields


@settings(max_examples=30)
@given(records())
def test_writing_again_changes_nothing(fields: dict[str, Any]) -> None:
    metadata = parse_metadata(json.dumps(fields).encode(), ID)
    again = parse_metadata(metadata.to_json(), ID)
    assert again.to_json() == metadata.to_json()
    assert json.loads(json.dumps(metadata.to_dict())) == json.loads(metadata.to_json())


def test_a_change_keeps_the_fields_of_a_newer_version() -> None:
    content = record(
        new={"deep": [1]},
        artifacts=[
            {"path": "a", "size_bytes": 1, "checksum": SHA, "content_type": "x", "newer": 2}
        ],
        failures=[{"path": "b", "error": "gone", "newest": None}],
    )
    changed = parse_metadata(content, ID).model_copy(update={"artifact_count": 1})
    written = json.loads(changed.to_json())
    assert written["new"] == {"deep": [1]}
    assert written["artifacts"][0]["newer"] == 2
    assert written["failures"] == [{"path": "b", "error": "gone", "newest": None}]
    assert written["artifact_count"] == 1


def test_a_new_record_has_every_documented_field() -> None:
    metadata = build_metadata(
        execution_id=ID.lower(),
        runner_type="onprem",
        bench_id="b7",
        started_at=START,
        labels={"branch": "main"},
    )
    assert json.loads(metadata.to_json()) == {
        "schema_version": 1,
        "execution_id": ID,
        "reservation_id": None,
        "runner_type": "onprem",
        "bench_id": "b7",
        "test_suite": None,
        "result": None,
        "status": "running",
        "artifact_status": "pending",
        "started_at": "2026-01-31T08:00:00.123Z",
        "ended_at": None,
        "artifact_count": 0,
        "artifact_bytes": 0,
        "manifest_sha256": None,
        "artifacts": None,
        "failures": [],
        "unfinished_uploads": [],
        "tree_stored": False,
        "labels": {"branch": "main"},
        "run": None,
    }
    assert metadata.to_json().endswith(b"}\n")
    assert (metadata.runner_type, metadata.status) == (RunnerType.ONPREM, Status.RUNNING)
    assert metadata.artifact_status is ArtifactStatus.PENDING


def test_times_are_kept_in_utc() -> None:
    metadata = parse_metadata(record(started_at="2026-01-31T23:30:00.5-05:00"), ID)
    assert metadata.started_at == datetime(2026, 2, 1, 4, 30, 0, 500_000, tzinfo=UTC)
    assert metadata.to_dict()["started_at"] == "2026-02-01T04:30:00.500Z"


# --- what is not valid -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": None}, "schema_version"),
        ({"runner_type": "lambda"}, "runner_type"),
        ({"result": "passed"}, "result"),
        ({"status": "aborted"}, "status"),
        ({"artifact_status": ""}, "artifact_status"),
        ({"test_suite": 5}, "test_suite"),
        ({"artifact_count": -1}, "artifact_count"),
        # JSON has types: a number in a text, or true, is no number.
        ({"artifact_count": "5"}, "artifact_count"),
        ({"artifact_count": True}, "artifact_count"),
        ({"artifact_bytes": 1.5}, "artifact_bytes"),
        ({"started_at": 1_700_000_000}, "started_at"),
        ({"started_at": "2026-01-31T08:00:00"}, "timezone"),
        ({"started_at": "yesterday"}, "started_at"),
        # Valid, but not in UTC; it must not stop a listing.
        ({"started_at": "0001-01-01T00:00:00+14:00"}, "year 1"),
        ({"ended_at": "9999-12-31T23:59:59-14:00"}, "year 9999"),
        (
            {"started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z"},
            "ended_at is before started_at",
        ),
        ({"result": "pass"}, "a running execution has no result"),
        ({"bench_id": "b", "runner_type": "eks"}, "bench_id is for runner_type onprem only"),
        ({"manifest_sha256": "A" * 64}, "manifest_sha256"),
        ({"manifest_sha256": "a" * 64 + "\n"}, "manifest_sha256"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": None}, "labels"),
        ({"failures": None}, "failures"),
        ({"failures": [{"path": "a"}]}, "failures.0.error"),
        ({"artifacts": [{}]}, "artifacts.0.path"),
        (
            {"artifacts": [{"path": "a", "size_bytes": 1, "checksum": "x", "content_type": ""}]},
            "artifacts.0.checksum: not a checksum",
        ),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem) as raised:
        parse_metadata(record(**fields), ID)
    assert ID in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"execution_id": NaN}',
        b'{"status": "running"}',
        record(test_suite="\ud800"),
        record() + b"{}",
        b'{"execution_id":"%s","artifact_count":%s}' % (ID.encode(), b"9" * 5000),
    ],
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="not valid"):
        parse_metadata(content, ID)


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_content_is_worse_than_not_valid(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_metadata(content, ID)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"\x1b[2J\u202e": 5}},
        {"artifacts": [{"\x1b[2J": 1, "checksum": "\x1b[2J"}]},
        {"manifest_sha256": "\x1b[2J"},
        {"runner_type": "\x1b[2J"},
    ],
)
def test_what_somebody_stored_cannot_act_on_the_terminal(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError) as raised:
        parse_metadata(record(**fields), ID)
    assert raised.value.message.isprintable()


def test_a_record_of_another_execution_is_refused() -> None:
    other = "01JABCDEFGHJKMNPQRSTVWXYZ1"
    with pytest.raises(IntegrityError, match=f"names another execution: {ID}"):
        parse_metadata(record(), other)


# --- from the command line -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"execution_id": "foo"}, r"^execution_id: not an execution id: 'foo'$"),
        ({"bench_id": "b", "runner_type": "ec2"}, r"^bench_id is for runner_type onprem only$"),
        ({"runner_type": "x"}, "runner_type: "),
        # Arguments are bytes; these are none of UTF-8.
        ({"test_suite": "caf\udce9"}, r"^test_suite: not UTF-8 text$"),
        ({"bench_id": "\udcff"}, r"^bench_id: not UTF-8 text$"),
        ({"reservation_id": "\udcff"}, r"^reservation_id: not UTF-8 text$"),
        ({"labels": {"a": "\udcff"}}, r"not UTF-8 text$"),
        ({"labels": {"\udcff": "a"}}, r"not UTF-8 text$"),
    ],
)
def test_a_wrong_option_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as raised:
        build_metadata(**{"execution_id": ID, **fields})
    assert raised.value.message.isprintable()


def test_text_of_any_script_is_kept() -> None:
    metadata = build_metadata(execution_id=ID, test_suite="café 😀", labels={"ключ": "値"})
    assert "café 😀".encode() in metadata.to_json()
    assert parse_metadata(metadata.to_json(), ID) == metadata


# --- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    [
        {"artifact_count": -1},
        {"result": Result.PASS},
        {"started_at": START, "ended_at": START - timedelta(seconds=1)},
        {"execution_id": "foo"},
        {"test_suite": "caf\udce9"},
    ],
)
def test_what_is_not_valid_is_never_written(update: dict[str, Any]) -> None:
    changed = ExecutionMetadata(execution_id=ID).model_copy(update=update)
    with pytest.raises(ValidationError):
        changed.to_json()
