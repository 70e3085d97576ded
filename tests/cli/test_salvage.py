"""`orchestrator salvage`: what a lost writer has left becomes the final logs, once."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest

from orchestrator_cli.core.executions.keys import live_segment_key, live_state_key
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES
from tests.support.commands.running import RunCommand
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.executions import make_id
from tests.support.stored.live import LaterDate, LogWriter, inject_later_date


@pytest.fixture
def out(scene: Scene) -> LogWriter:
    """Standard output of an execution that runs."""
    return LogWriter(scene.s3, scene.bucket, scene.put_execution())


@pytest.fixture
def date(recorder: Proxy) -> LaterDate:
    return inject_later_date(recorder, 3601)


def test_lost_logs_are_kept_as_far_as_they_reach(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    execution_id = out.execution_id
    err = LogWriter(scene.s3, scene.bucket, execution_id, "stderr.log")
    console = LogWriter(scene.s3, scene.bucket, execution_id, "artifacts/custom/console.txt")
    # Of segments as large as they may be, the final object has parts.
    out.write(random.Random(1).randbytes(MAX_SEGMENT_BYTES), b"one\n", b"tw")
    err.write(b"bad\n", b"")
    console.write(b"> ")
    out.beat(err, console)
    date.seconds = 3000
    before = scene.contents()
    refused = scene.cli("salvage", execution_id).expect(6)
    assert f"error: the writer of {execution_id} was there 3,00" in refused.err
    assert "--older-than" in refused.err
    assert scene.contents() == before
    date.seconds = 3601
    size = len(out.written)
    done = scene.cli("salvage", execution_id).ok()
    assert done.out.splitlines() == [
        "artifacts/custom/console.txt: created, 2 bytes; it ends there",
        "logs/stderr.log: created, 4 bytes; whole",
        f"logs/stdout.log: created, {size:,} bytes; it ends there",
    ]
    assert done.err == f"finished {execution_id}: error\n"
    after = scene.contents()
    whole = f"executions/{execution_id}/"
    assert after[whole + "logs/stdout.log"] == out.written
    assert after[whole + "logs/stderr.log"] == b"bad\n"
    assert after[whole + "artifacts/custom/console.txt"] == b"> "
    record = scene.cli("show", execution_id, "--json").ok().json()
    assert (record["status"], record["result"], record["liveness"]) == ("completed", "error", None)
    assert (record["artifact_status"], record["artifact_count"]) == ("artifact_error", 3)
    assert record["failures"] == [
        {"path": path, "error": f"salvaged: it ends at byte {end}, where its writer was lost"}
        for path, end in (("artifacts/custom/console.txt", "2"), ("logs/stdout.log", f"{size:,}"))
    ]
    assert any(key.startswith("history/") for key in after)
    # Whoever looks at it needs not read it all, and knows when which part of it came.
    index = json.loads(gzip.decompress(after[f"derived/{execution_id}/logs/stdout.log.json.gz"]))
    assert [point["time_ms"] for point in index["points"]] == [1] * 8 + [1001]
    assert after[f"derived/{execution_id}/tail/stdout.log"] == out.written[-65536:]
    assert [key for key in after if key.startswith("derived/")][2:] == []
    again = scene.cli("salvage", execution_id, "--json").ok().json()
    jsonschema.validate(again, scene.cli("schema", "salvage").ok().json())
    assert {log["path"]: log["outcome"] for log in again["logs"]} == dict.fromkeys(
        ("artifacts/custom/console.txt", "logs/stderr.log", "logs/stdout.log"), "identical"
    )
    assert scene.contents() == after


def test_stored_log_that_goes_on_is_left_and_another_is_a_conflict(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    err = LogWriter(scene.s3, scene.bucket, out.execution_id, "stderr.log")
    out.write(b"one\n")
    err.write(b"one\n")
    # Without a heartbeat, the last segments tell how long ago the writer was there.
    scene.put_file(out.execution_id, "logs/stdout.log", b"one\nand more\n")
    scene.put_file(out.execution_id, "logs/stderr.log", b"two\nand more\n")
    date.seconds = 60
    assert "was there 6" in scene.cli("salvage", out.execution_id).expect(6).err
    date.seconds = 3601
    result = scene.cli("salvage", out.execution_id).expect(6)
    assert "logs/stdout.log: identical, 4 bytes" in result.out
    assert "logs/stderr.log: conflict, 4 bytes" in result.out
    assert "error: logs/stderr.log: the key holds other content" in result.err


def test_a_finished_record_learns_of_logs_that_it_did_not_have(
    cli: RunCommand, out: LogWriter, date: LaterDate
) -> None:
    out.write(b"one\n")
    out.beat()
    cli("finish", out.execution_id, "--result", "pass").ok()
    assert cli("show", out.execution_id, "--json").ok().json()["artifact_count"] == 0
    cli("salvage", out.execution_id).ok()
    record = cli("show", out.execution_id, "--json").ok().json()
    assert (record["result"], record["artifact_count"]) == ("pass", 1)
    assert record["artifact_status"] == "artifact_error"
    assert [one["path"] for one in record["failures"]] == ["logs/stdout.log"]
    cli("salvage", out.execution_id).ok()
    assert cli("show", out.execution_id, "--json").ok().json() == record


def test_execution_ended_when_its_last_bytes_came(scene: Scene, out: LogWriter) -> None:
    """Its heartbeat may be older than these."""
    now = datetime.now(UTC)
    started_at = (now - timedelta(days=1)).isoformat()
    scene.put_execution(out.execution_id, started_at=started_at)
    out.write(b"one\n")
    out.beat()
    inject_later_date(scene.recorder, 4000, "logs/")
    inject_later_date(scene.recorder, 8000, "state.json")
    scene.cli("salvage", out.execution_id).ok()
    record = scene.cli("show", out.execution_id, "--json").ok().json()
    ended_at = datetime.fromisoformat(record["ended_at"])
    assert 3000 < (now - ended_at).total_seconds() < 5000


def test_log_whose_beginning_has_expired_is_not_stored(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    out.write(b"one\n", b"two\n")
    scene.s3.delete_object(Bucket=scene.bucket, Key=live_segment_key(out.execution_id, out.log, 0))
    assert "its first 4 bytes have expired" in scene.cli("salvage", out.execution_id).expect(4).err
    record = scene.cli("show", out.execution_id, "--json").ok().json()
    assert record["failures"][0]["error"] == "its first 4 bytes have expired"
    assert not any(key.endswith("stdout.log") for key in scene.contents())


def test_an_execution_with_nothing_to_salvage_is_refused(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    assert "has no live logs" in scene.cli("salvage", out.execution_id).expect(4).err
    out.write(b"one\n")
    scene.s3.put_object(Bucket=scene.bucket, Key=live_state_key(out.execution_id), Body=b"{}")
    assert "state.json is not valid" in scene.cli("salvage", out.execution_id).expect(7).err
    assert "--yes" in scene.cli("salvage", "@latest").expect(2).err


def test_run_that_nobody_saw_end_is_not_shown_as_running(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    run = {
        "command": ["sh", "slow.sh"],
        "host": "vm",
        "pid": 1,
        "tool_version": "0.1.0",
        "started_at": "2026-01-31T08:00:00Z",
    }
    scene.put_execution(out.execution_id, run=run)
    out.write(b"one\n")
    assert "running on vm: sh slow.sh" in scene.cli("show", out.execution_id).ok().out
    scene.cli("salvage", out.execution_id).ok()
    assert "the runner was lost on vm: sh slow.sh" in scene.cli("show", out.execution_id).ok().out
    assert scene.record(out.execution_id)["run"]["ended_at"] is None
    by_hand = scene.put_execution(make_id(number=2), run=run)
    scene.cli("finish", by_hand, "--result", "error").ok()
    assert "end unknown on vm: sh slow.sh" in scene.cli("show", by_hand).ok().out


def test_finished_execution_has_nothing_to_salvage(
    scene: Scene, out: LogWriter, date: LaterDate
) -> None:
    out.write(b"one\n", b"")
    date.seconds = 60
    scene.cli("finish", out.execution_id, "--result", "pass").ok()
    # It is complete, and lacks a log nevertheless.
    assert "was there 6" in scene.cli("salvage", out.execution_id).expect(6).err
    scene.put_file(out.execution_id, "logs/stdout.log", b"one\n")
    before = scene.contents()
    result = scene.cli("salvage", out.execution_id).expect(6)
    said = "is finished with result pass, and its logs are stored: there is nothing to salvage"
    assert result.err == f"error: {out.execution_id} {said}\n"
    assert scene.contents() == before
