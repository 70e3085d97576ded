"""The heartbeat: what it says, whom it is taken from, and how old S3 says it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.executions.keys import live_state_key
from orchestrator_cli.core.live.state import (
    MAX_STATE_BYTES,
    Liveness,
    LiveState,
    LogPosition,
    liveness_after,
    parse_state,
    read_state,
)
from tests.support.stored.engine import open_store

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
STATE = LiveState(
    writer="0f" * 16,
    host="bench-7",
    pid=42,
    interval_seconds=1.5,
    epoch=3,
    logs={"stdout.log": LogPosition(10, 2), "artifacts/custom/serial.log": LogPosition(0, 0, True)},
)


def test_state_is_read_as_it_was_written_with_fields_of_newer_versions() -> None:
    assert parse_state(STATE.to_json(), "it") == STATE
    newer = json.loads(STATE.to_json())
    newer |= {"version": 2, "colour": [1]}
    newer["logs"]["stdout.log"]["bytes_per_second"] = 5
    read = parse_state(json.dumps(newer).encode(), "it")
    assert json.loads(read.to_json()) == newer


def test_all_logs_have_ended_when_each_has() -> None:
    assert not STATE.ended
    assert replace(STATE, logs={**STATE.logs, "stdout.log": LogPosition(10, 2, True)}).ended
    assert not LiveState("0f" * 16, "", 0, 1).ended


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param({"writer": "x"}, "writer", id="writer"),
        pytest.param({"writer": None}, "writer", id="no writer"),
        pytest.param({"epoch": 0}, "epoch", id="epoch"),
        pytest.param({"epoch": True}, "epoch", id="boolean"),
        pytest.param({"pid": -1}, "pid", id="pid"),
        pytest.param({"pid": 10**30}, "pid", id="large pid"),
        pytest.param({"host": "x" * 5000}, "host", id="long host"),
        pytest.param({"interval_seconds": 0}, "interval_seconds", id="interval"),
        pytest.param({"interval_seconds": 10**400}, "interval_seconds", id="large interval"),
        pytest.param({"interval_seconds": float("nan")}, "interval_seconds", id="nan"),
        pytest.param({"version": "1"}, "version", id="version"),
        pytest.param({"logs": []}, "logs", id="logs"),
        pytest.param({"logs": {"stderr.log": {}}}, "offset", id="empty position"),
        pytest.param({"logs": {"stderr.log": 1}}, "logs.stderr.log", id="position that is none"),
        pytest.param(
            {"logs": {"../x": {"offset": 1, "line": 0, "ended": False}}}, "name", id="log's name"
        ),
        pytest.param(
            {"logs": {"stdout.log": {"offset": -1, "line": 0, "ended": False}}}, "offset", id="neg"
        ),
        pytest.param(
            {"logs": {"stdout.log": {"offset": 1, "line": 0, "ended": 1}}}, "ended", id="ended"
        ),
    ],
)
def test_state_with_a_wrong_field_is_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(IntegrityError, match=f"it is not valid: .*{what}"):
        parse_state(json.dumps(json.loads(STATE.to_json()) | change).encode(), "it")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="it is not valid"):
        parse_state(content, "it")


def test_liveness_follows_from_the_age() -> None:
    assert [liveness_after(age) for age in (0, 90, 91, 300, 301)] == [
        Liveness.ALIVE, Liveness.ALIVE, Liveness.SILENT, Liveness.SILENT, Liveness.LOST,
    ]  # fmt: skip
    assert liveness_after(200, lost_after_seconds=100) is Liveness.LOST


def test_state_in_s3_has_an_age_by_the_clock_of_s3(bucket: str) -> None:
    store = open_store(bucket)
    assert store.run(read_state(ID)) is None
    store.put_if_absent(live_state_key(ID), STATE.to_json(), "application/json")
    stored = store.run(read_state(ID))
    assert stored is not None
    assert stored.state == STATE
    assert stored.etag.startswith('"')
    assert 0 <= stored.age_seconds < 60
    store.compare_and_swap(
        live_state_key(ID), b" " * MAX_STATE_BYTES + STATE.to_json(), stored.etag, "text/plain"
    )
    with pytest.raises(IntegrityError, match="larger than"):
        store.run(read_state(ID))
