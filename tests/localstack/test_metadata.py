"""`metadata.json` changes by compare-and-swap alone; nobody's change is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import update_metadata
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from tests.localstack.contents import sha256_base64
from tests.support.proxy.faults import CorruptRequest, DropAnswer
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack


def open_store(s3env: dict[str, str]) -> ArtifactStore:
    """Return a store as a command of its own would have it."""
    return App(Settings(bucket=s3env["ORCHESTRATOR_BUCKET"])).store()


def test_sixteen_changes_at_once_are_all_kept(
    scene: Scene, s3env: dict[str, str], execution_id: str
) -> None:
    def label(number: int) -> None:
        def change(current: ExecutionMetadata) -> ExecutionMetadata:
            labels = current.labels | {f"writer-{number}": str(number)}
            return current.model_copy(update={"labels": labels})

        update_metadata(stores[number % 4], execution_id, change)

    stores = [open_store(s3env) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(label, range(16)))
    expected = {f"writer-{number}": str(number) for number in range(16)}
    assert scene.record(execution_id)["labels"] == expected


def test_a_swap_carries_condition_and_digest_and_loses_against_a_newer_state(
    scene: Scene, s3env: dict[str, str]
) -> None:
    store = open_store(s3env)
    store.put_if_absent("state", b"one", "text/plain")
    first = store.get("state").etag
    scene.recorder.clear()
    store.compare_and_swap("state", b"two", first, "text/plain")
    [put] = scene.recorder.calls("PutObject")
    assert put.request.headers["if-match"] == first
    assert put.request.headers["x-amz-checksum-sha256"] == sha256_base64(b"two")
    with pytest.raises(ConflictError):
        store.compare_and_swap("state", b"three", first, "text/plain")
    assert scene.s3.get_object(Bucket=scene.bucket, Key="state")["Body"].read() == b"two"


def test_a_finish_whose_swap_was_lost_and_found_is_done_once(
    scene: Scene, execution_id: str
) -> None:
    """The swap went through, its answer did not: the next look shows that nothing is left."""
    scene.recorder.inject(DropAnswer(), "PutObject", key=r"metadata\.json$")
    scene.recorder.inject(DropAnswer(), "PutObject", key="^history/")
    scene.cli("finish", execution_id, "--result", "fail").ok()
    assert scene.record(execution_id)["result"] == "fail"
    assert len(scene.list_keys("history/")) == 1
    scene.cli("finish", execution_id, "--result", "fail").ok()
    scene.cli("finish", execution_id, "--result", "pass").expect(6)


def test_a_new_execution_harmed_on_its_way_is_sent_again(scene: Scene) -> None:
    scene.recorder.inject(CorruptRequest(20), "PutObject", key=r"metadata\.json$")
    execution_id = scene.cli("new", "--suite", "smoke").ok().out.strip()
    assert [put.status for put in scene.recorder.calls("PutObject")] == [400, 200]
    assert scene.record(execution_id)["test_suite"] == "smoke"
