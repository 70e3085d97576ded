"""The cache of manifests saves requests and is never out of date."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_cli.api.reads.manifest_cache import ManifestCache
from tests.support.commands.serving import Serve, Server, problem
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import open_store
from tests.support.stored.executions import put_metadata

FILES = {"artifacts/custom/a.bin": b"a", "logs/stdout.log": b"x\n"}
OTHER = f"sha256:{'0' * 64}"


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_finished_execution(FILES)


def checksums(server: Server, execution_id: str, query: str = "") -> dict[str, Any]:
    page = server.get(f"/executions/{execution_id}/artifacts{query}").json()
    return {one["path"]: one["checksum"] for one in page["artifacts"]}


def change(scene: Scene, execution_id: str) -> None:
    """Change the first file of a manifest so that a test can see which version was used."""
    record = scene.record(execution_id)
    record["artifacts"][0]["checksum"] = OTHER
    put_metadata(scene.s3, scene.bucket, execution_id, json.dumps(record).encode())


@pytest.mark.parametrize("query", ["", "?glob=*"])
def test_a_manifest_is_read_once_until_it_changes(
    scene: Scene, query: str, serve: Serve, execution: str
) -> None:
    server = serve()
    first = checksums(server, execution, query)
    assert first.keys() == FILES.keys()
    assert all(first.values())
    assert checksums(server, execution, query) == first
    assert len(scene.recorder.calls("GetObject")) == 1
    change(scene, execution)
    assert checksums(server, execution, query) == first | {"artifacts/custom/a.bin": OTHER}
    assert len(scene.recorder.calls("GetObject")) == 2


@pytest.mark.parametrize("query", ["?limit=1", "?prefix=artifacts/"])
def test_a_page_that_does_not_reach_metadata_json_reads_it(
    scene: Scene, query: str, serve: Serve, execution: str
) -> None:
    server = serve()
    before = checksums(server, execution)["artifacts/custom/a.bin"]
    assert checksums(server, execution, query) == {"artifacts/custom/a.bin": before}
    change(scene, execution)
    assert checksums(server, execution, query) == {"artifacts/custom/a.bin": OTHER}


def test_the_cache_is_bounded(scene: Scene) -> None:
    stored = [scene.put_finished_execution({f"logs/{n}.log": b"x"}) for n in range(4)]
    manifests = ManifestCache(open_store(scene.bucket), max_files=4)
    etags = {}
    for execution_id in stored:
        head = scene.s3.head_object(
            Bucket=scene.bucket, Key=f"executions/{execution_id}/metadata.json"
        )
        etags[execution_id] = head["ETag"].strip('"')
    first, second, third, fourth = stored

    def reads(*execution_ids: str) -> int:
        scene.recorder.clear()
        for execution_id in execution_ids:
            assert len(manifests.files(execution_id, etags[execution_id])) == 1
        return len(scene.recorder.calls("GetObject"))

    # A manifest counts as the number of its files plus one.
    assert reads(first, second, first, second) == 2
    assert reads(first, third, first, third) == 1
    assert reads(second) == 1
    assert reads(third, second) == 0
    # A manifest that is larger than the cache is not kept either.
    large = scene.put_finished_execution({f"artifacts/custom/{n}": b"" for n in range(9)})
    head = scene.s3.head_object(Bucket=scene.bucket, Key=f"executions/{large}/metadata.json")
    for _ in range(2):
        scene.recorder.clear()
        assert len(manifests.files(large, head["ETag"].strip('"'))) == 9
        assert len(scene.recorder.calls("GetObject")) == 1
    assert reads(fourth, fourth) == 1


def test_an_unreadable_manifest_counts_as_empty(scene: Scene, serve: Serve, execution: str) -> None:
    server = serve()
    put_metadata(scene.s3, scene.bucket, execution, b"{}")
    assert checksums(server, execution) == dict.fromkeys(FILES)
    # Otherwise, the files of a finished execution would look like those of a running one.
    scene.recorder.inject(faults.Answer(403, "AccessDenied"), "GetObject", times=None)
    response = server.get(f"/executions/{execution}/artifacts")
    assert problem(response, 502, "storage-access")["exit_code"] == 5
