"""The history line says what the record says, whoever writes it and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.executions.record.history import write_history
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Result
from orchestrator_cli.core.executions.record.repository import (
    finish_execution,
    read_execution,
    record_upload_result,
)
from tests.support.scene import Scene

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def stored_line(scene: Scene) -> dict[str, object]:
    (content,) = scene.contents("history/").values()
    line: dict[str, object] = json.loads(content)
    return line


def test_a_late_writer_of_an_old_record_does_not_win(scene: Scene) -> None:
    store = App(Settings(bucket=scene.bucket)).store()
    execution_id = scene.put_execution()
    old = finish_execution(store, execution_id, Result.PASS, NOW)
    record_upload_result(store, execution_id, {"artifacts/a.txt": "disk on fire"}, set())
    assert stored_line(scene)["failure_count"] == 1
    write_history(store, old, lambda: read_execution(store, execution_id).metadata)
    assert stored_line(scene)["failure_count"] == 1


def test_a_line_that_another_writer_replaces_meanwhile_is_looked_at_again(scene: Scene) -> None:
    store = App(Settings(bucket=scene.bucket)).store()
    execution_id = scene.put_execution()
    metadata = finish_execution(store, execution_id, Result.PASS, NOW)
    (key,) = scene.contents("history/")
    changed = metadata.model_copy(update={"labels": {"round": "2"}})
    reads: list[ExecutionMetadata] = []

    def read_while_others_write() -> ExecutionMetadata:
        if not reads:
            scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"{}\n")
        reads.append(changed)
        return changed

    write_history(store, changed, read_while_others_write)
    assert len(reads) == 2
    assert stored_line(scene)["labels"] == {"round": "2"}
