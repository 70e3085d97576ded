"""The cache of manifests saves requests and is never out of date."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.api.reads.manifest_cache import ManifestCache
from tests.support import faults
from tests.support.engine import open_store
from tests.support.executions import put_finished_execution, put_metadata, read_record
from tests.support.proxy import Proxy
from tests.support.serving import Serve, Server, problem

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {"artifacts/custom/a.bin": b"a", "logs/stdout.log": b"x\n"}
OTHER = f"sha256:{'0' * 64}"


@pytest.fixture
def execution(s3: S3Client, bucket: str) -> str:
    return put_finished_execution(s3, bucket, FILES)


def checksums(server: Server, execution_id: str, query: str = "") -> dict[str, Any]:
    page = server.get(f"/executions/{execution_id}/artifacts{query}").json()
    return {one["path"]: one["checksum"] for one in page["artifacts"]}


def change(s3: S3Client, bucket: str, execution_id: str) -> None:
    """Change the first file of a manifest so that a test can see which version was used."""
    record = read_record(s3, bucket, execution_id)
    record["artifacts"][0]["checksum"] = OTHER
    put_metadata(s3, bucket, execution_id, json.dumps(record).encode())


@pytest.mark.parametrize("query", ["", "?glob=*"])
def test_a_manifest_is_read_once_until_it_changes(
    query: str, recorder: Proxy, serve: Serve, s3: S3Client, bucket: str, execution: str
) -> None:
    server = serve()
    first = checksums(server, execution, query)
    assert first.keys() == FILES.keys()
    assert all(first.values())
    assert checksums(server, execution, query) == first
    assert len(recorder.calls("GetObject")) == 1
    change(s3, bucket, execution)
    assert checksums(server, execution, query) == first | {"artifacts/custom/a.bin": OTHER}
    assert len(recorder.calls("GetObject")) == 2


@pytest.mark.parametrize("query", ["?limit=1", "?prefix=artifacts/"])
def test_a_page_that_does_not_reach_metadata_json_reads_it(
    query: str, serve: Serve, s3: S3Client, bucket: str, execution: str
) -> None:
    server = serve()
    before = checksums(server, execution)["artifacts/custom/a.bin"]
    assert checksums(server, execution, query) == {"artifacts/custom/a.bin": before}
    change(s3, bucket, execution)
    assert checksums(server, execution, query) == {"artifacts/custom/a.bin": OTHER}


def test_the_cache_is_bounded(recorder: Proxy, s3: S3Client, bucket: str) -> None:
    stored = [put_finished_execution(s3, bucket, {f"logs/{n}.log": b"x"}) for n in range(4)]
    manifests = ManifestCache(open_store(bucket), max_files=4)
    etags = {}
    for execution_id in stored:
        head = s3.head_object(Bucket=bucket, Key=f"executions/{execution_id}/metadata.json")
        etags[execution_id] = head["ETag"].strip('"')
    first, second, third, fourth = stored

    def reads(*execution_ids: str) -> int:
        recorder.clear()
        for execution_id in execution_ids:
            assert len(manifests.files(execution_id, etags[execution_id])) == 1
        return len(recorder.calls("GetObject"))

    # A manifest counts as the number of its files plus one.
    assert reads(first, second, first, second) == 2
    assert reads(first, third, first, third) == 1
    assert reads(second) == 1
    assert reads(third, second) == 0
    # A manifest that is larger than the cache is not kept either.
    large = put_finished_execution(s3, bucket, {f"artifacts/custom/{n}": b"" for n in range(9)})
    head = s3.head_object(Bucket=bucket, Key=f"executions/{large}/metadata.json")
    for _ in range(2):
        recorder.clear()
        assert len(manifests.files(large, head["ETag"].strip('"'))) == 9
        assert len(recorder.calls("GetObject")) == 1
    assert reads(fourth, fourth) == 1


def test_an_unreadable_manifest_counts_as_empty(
    recorder: Proxy, serve: Serve, s3: S3Client, bucket: str, execution: str
) -> None:
    server = serve()
    put_metadata(s3, bucket, execution, b"{}")
    assert checksums(server, execution) == dict.fromkeys(FILES)
    # Otherwise, the files of a finished execution would look like those of a running one.
    recorder.inject(faults.Answer(403, "AccessDenied"), "GetObject", times=None)
    response = server.get(f"/executions/{execution}/artifacts")
    assert problem(response, 502, "storage-access")["exit_code"] == 5
