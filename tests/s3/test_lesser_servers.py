"""Servers that give less than AWS: every flow ends right, and `doctor` tells what they lack."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import ConflictError, UnavailableError
from orchestrator_cli.core.executions.keys import metadata_key
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import (
    create_execution,
    read_execution,
    update_metadata,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts import multipart_session
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from orchestrator_cli.core.transfer.upload.parts.stream_upload import StreamUpload
from tests.support.commands.running import RunCommand
from tests.support.commands.small_scale import DOUBLING
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.proxy import faults, quirks
from tests.support.proxy.operations import Request
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import EXECUTION_ID, content, key_of, open_store
from tests.support.stored.local_files import local_file

pytestmark = pytest.mark.usefixtures("small_parts")

KEY = key_of("big.bin")
SIZE = 2 * PART + 5
DATA = content(SIZE)
OTHER = content(SIZE, seed=1)
NAMES = ["results.json", "stdout.log", "custom/a b+c%20 'q\" 🎉.txt", "custom/empty", "big.bin"]


@pytest.fixture(params=quirks.SERVERS)
def server(request: pytest.FixtureRequest, recorder: Proxy) -> str:
    """The name of the server that the one behind the proxy passes for."""
    quirks.pretend(recorder, quirks.SERVERS[request.param])
    return str(request.param)


@pytest.fixture
def ceph(recorder: Proxy) -> None:
    quirks.pretend(recorder, quirks.CEPH)


def begin(scene: Scene, key: str, pieces: list[bytes]) -> str:
    """Leave an unfinished upload with these parts, as an interrupted run does."""
    upload_id = scene.s3.create_multipart_upload(
        Bucket=scene.bucket, Key=key, Metadata={"part-schedule": DOUBLING}
    )["UploadId"]
    for number, piece in enumerate(pieces, 1):
        scene.s3.upload_part(
            Bucket=scene.bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=piece
        )
    return upload_id


def upload_file(bucket: str, path: Path, store: ArtifactStore | None = None) -> PutOutcome:
    store = store or open_store(bucket)
    with TransferEngine(store.connection, 4) as engine, local_file(path) as source:
        return MultipartUploader(engine, DirectTarget(store), source, KEY, "text/plain").run()[0]


def upload_pipe(bucket: str, data: bytes, store: ArtifactStore | None = None) -> PutOutcome:
    store = store or open_store(bucket)
    with TransferEngine(store.connection, 4) as engine:
        return StreamUpload(engine, DirectTarget(store), KEY, "text/plain").run(io.BytesIO(data))[0]


# --- whole flows -------------------------------------------------------------------------


def test_an_execution_is_made_finished_and_verified(scene: Scene, server: str) -> None:
    files: dict[str, bytes | str] = {name: f"content of {name}\n" * 9 for name in NAMES}
    files |= {"custom/empty": b"", "big.bin": DATA}
    tree = scene.write_tree(files)
    execution = scene.new_execution()
    assert {line["outcome"] for line in upload(scene.cli, execution, tree)} == {"created"}
    scene.recorder.clear()
    assert {line["outcome"] for line in upload(scene.cli, execution, tree)} == {"identical"}
    # Nothing but the record, which says that an upload begins and has ended.
    sent = {call.key for call in scene.recorder.calls() if call.request_bytes}
    assert sent == {metadata_key(execution)}

    scene.cli("finish", execution, "--result", "pass").ok()
    scene.cli("finish", execution, "--result", "pass").ok()
    scene.cli("finish", execution, "--result", "fail").expect(6)
    metadata = scene.cli("show", execution, "--json").ok().json()
    assert (metadata["status"], metadata["artifact_count"]) == ("completed", len(NAMES))
    assert all(item["checksum"] for item in metadata["artifacts"])
    assert len(scene.cli("ls", execution, "--json").ok().json_lines()) == len(NAMES)
    assert scene.cli("logs", execution, "--tail", "2").ok().out == "content of stdout.log\n" * 2
    assert len(scene.cli("url", execution).ok().lines) == len(NAMES)

    scene.cli("verify", execution).ok()
    scene.cli("verify", execution, "--read").ok()
    scene.cli("verify", execution, tree).ok()
    target = scene.directory / "target"
    scene.cli("download", execution, "-o", target).ok()
    assert (target / "artifacts/custom/big.bin").read_bytes() == DATA
    assert sum(path.is_file() for path in target.rglob("*")) == len(NAMES)


def upload(cli: RunCommand, execution: str, tree: Path) -> list[dict[str, Any]]:
    return cli("upload", execution, tree, "--json").ok().json_lines()


@pytest.mark.parametrize("name", NAMES)
def test_other_content_is_a_conflict(scene: Scene, server: str, name: str) -> None:
    execution = scene.new_execution()
    scene.cli(
        "upload", execution, scene.write_tree({name: DATA if name == "big.bin" else "one"})
    ).ok()
    before = scene.contents()
    other = scene.write_tree({name: OTHER if name == "big.bin" else "two"})
    scene.cli("upload", execution, other).expect(6)
    after = scene.contents()
    assert len(scene.record(execution)["failures"]) == 1
    record = metadata_key(execution)
    assert after | {record: before[record]} == before
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize("data", [b"", b"one", DATA[:PART], DATA], ids=len)
def test_a_pipe_has_the_three_outcomes_on_every_server(
    scene: Scene, server: str, data: bytes
) -> None:
    assert upload_pipe(scene.bucket, data) is PutOutcome.CREATED
    assert upload_pipe(scene.bucket, data) is PutOutcome.IDENTICAL
    assert upload_pipe(scene.bucket, data + b"more") is PutOutcome.CONFLICT
    assert scene.contents() == {KEY: data}
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize("pipe", [False, True])
def test_what_was_interrupted_is_resumed(scene: Scene, server: str, pipe: bool) -> None:
    path = scene.directory / "big.bin"
    path.write_bytes(DATA)
    begin(scene, KEY, [DATA[:PART]])
    outcome = upload_pipe(scene.bucket, DATA) if pipe else upload_file(scene.bucket, path)
    assert outcome is PutOutcome.CREATED
    assert scene.recorder.request_bytes("UploadPart") == SIZE - PART
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}


def test_an_upload_that_ends_before_its_parts_are_listed_is_not_resumed(
    scene: Scene, server: str
) -> None:
    path = scene.directory / "big.bin"
    path.write_bytes(DATA)
    upload_id = begin(scene, KEY, [DATA[:PART]])

    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)

    scene.recorder.inject(Abort(), "ListParts")
    assert upload_file(scene.bucket, path) is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}


@pytest.mark.parametrize("rest", [OTHER[2 * PART :], b""], ids=["other", "shorter"])
def test_a_pipe_that_only_begins_as_an_interrupted_one_is_stored_whole(
    scene: Scene, server: str, rest: bytes
) -> None:
    """Ceph completes with all parts or not at all, rclone never replaces one: begin afresh."""
    longer = [*(DATA[start : start + PART] for start in range(0, SIZE, PART)), b"and more"]
    begin(scene, KEY, longer)
    data = DATA[: 2 * PART] + rest
    # Where no part differs, rclone completes with some of them.
    if server != "rclone" or rest:
        with pytest.raises(UnavailableError, match="holds parts of other content"):
            upload_pipe(scene.bucket, data)
    assert upload_pipe(scene.bucket, data) is PutOutcome.CREATED
    assert scene.contents() == {KEY: data}
    assert scene.unfinished_uploads() == {}


# --- several at once ---------------------------------------------------------------------


@pytest.mark.parametrize("pipe", [False, True])
def test_one_of_several_large_uploads_of_a_key_wins(scene: Scene, server: str, pipe: bool) -> None:
    contents = [content(SIZE, number) for number in range(3)]
    for number, data in enumerate(contents):
        (scene.directory / str(number)).write_bytes(data)

    def run(number: int) -> PutOutcome:
        # With the product's own patience: they wait for each other.
        store = ArtifactStore(S3Session(S3Settings(scene.bucket, environment=os.environ)))
        if pipe:
            return upload_pipe(scene.bucket, contents[number], store)
        return upload_file(scene.bucket, scene.directory / str(number), store)

    with ThreadPoolExecutor(3) as threads:
        outcomes = list(threads.map(run, range(3)))
    (stored,) = scene.contents().values()
    assert sorted(outcomes) == [PutOutcome.CONFLICT, PutOutcome.CONFLICT, PutOutcome.CREATED]
    assert stored == contents[outcomes.index(PutOutcome.CREATED)]
    assert scene.unfinished_uploads() == {}


def test_one_of_several_small_uploads_of_a_key_wins_in_a_versioned_bucket(scene: Scene) -> None:
    """Where no condition is heeded, the order of the versions tells who was first."""
    scene.s3.put_bucket_versioning(
        Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    quirks.pretend(scene.recorder, quirks.CEPH_VERSIONED)
    everybody_has_looked = threading.Barrier(6)

    class Wait(faults.Fault):
        def request_head(self, waiting: object) -> None:
            everybody_has_looked.wait(30)

    scene.recorder.inject(Wait(), "PutObject", times=6)

    def run(number: int) -> PutOutcome:
        # Two each have the same content.
        store = ArtifactStore(S3Session(S3Settings(scene.bucket, environment=os.environ)))
        return store.put_if_absent(KEY, b"%d" % (number // 2), "text/plain")[0]

    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(run, range(6)))
    assert sorted(outcomes) == [
        *[PutOutcome.CONFLICT] * 4,
        PutOutcome.CREATED,
        PutOutcome.IDENTICAL,
    ]
    assert scene.contents() == {KEY: b"%d" % (outcomes.index(PutOutcome.CREATED) // 2)}
    assert remove_versions(scene) == 1


def test_what_was_deleted_does_not_count_as_first(scene: Scene) -> None:
    scene.s3.put_bucket_versioning(
        Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=b"before")
    scene.s3.delete_object(Bucket=scene.bucket, Key=KEY)
    quirks.pretend(scene.recorder, quirks.CEPH_VERSIONED)
    assert (
        open_store(scene.bucket).put_if_absent(KEY, b"after", "text/plain")[0] is PutOutcome.CREATED
    )
    assert scene.contents() == {KEY: b"after"}
    assert remove_versions(scene) == 2


def remove_versions(scene: Scene) -> int:
    """Remove all versions and return how many there were, delete markers not counted."""
    listed = scene.s3.list_object_versions(Bucket=scene.bucket)
    for one in [*listed["Versions"], *listed.get("DeleteMarkers", [])]:
        scene.s3.delete_object(Bucket=scene.bucket, Key=KEY, VersionId=one["VersionId"])
    return len(listed["Versions"])


@pytest.mark.parametrize("pipe", [False, True])
def test_who_is_overwritten_at_the_same_moment_is_told(
    scene: Scene, ceph: None, pipe: bool
) -> None:
    path = scene.directory / "big.bin"
    path.write_bytes(DATA)

    class CompleteAnother(faults.Fault):
        def request_head(self, waiting: object) -> None:
            upload_id = begin(scene, KEY, [OTHER[:PART], OTHER[PART : 2 * PART], OTHER[-5:]])
            listed = scene.s3.list_parts(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)["Parts"]
            parts: Any = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in listed]
            scene.s3.complete_multipart_upload(
                Bucket=scene.bucket, Key=KEY, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )

    # The first look after completing, which is the only one that asks for checksums.
    scene.recorder.inject(CompleteAnother(), "HeadObject", nth=3)
    outcome = upload_pipe(scene.bucket, DATA) if pipe else upload_file(scene.bucket, path)
    assert scene.recorder.count("CompleteMultipartUpload") == 1
    assert outcome is PutOutcome.CONFLICT
    assert scene.contents() == {KEY: OTHER}


@pytest.mark.parametrize(("telling_seconds", "early_looks"), [(1e9, 0), (0.0, 1)])
def test_an_upload_that_was_interrupted_is_waited_for_a_while_only(
    scene: Scene, telling_seconds: float, early_looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart_session, "TELLING_SECONDS", telling_seconds)
    path = scene.directory / "big.bin"
    path.write_bytes(DATA)
    interrupted = begin(scene, KEY, [OTHER[:PART]]).encode()

    class BegunEarlier(quirks.Quirk):
        def reply(self, request: Request, reply: quirks.Reply, connection: object) -> None:
            if request.operation == "ListMultipartUploads" and interrupted in reply.body:
                before, _, after = reply.body.partition(interrupted)
                # The sandbox's server says of all uploads that they began in 2010.
                reply.body = before + interrupted + after.replace(b">2010-", b">2009-", 1)

    quirks.pretend(scene.recorder, quirks.Server(BegunEarlier()))
    assert upload_file(scene.bucket, path) is PutOutcome.CREATED
    assert scene.recorder.count("ListMultipartUploads") == 1 + early_looks + 16
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}


# --- metadata.json -----------------------------------------------------------------------


def add_label(name: str) -> Callable[[ExecutionMetadata], ExecutionMetadata]:
    return lambda now: now.model_copy(update={"labels": now.labels | {name: "yes"}})


def test_no_update_is_lost_where_etags_are_compared_bare(ceph: None, bucket: str) -> None:
    stores = [open_store(bucket) for _ in range(16)]
    create_execution(stores[0], ExecutionMetadata(execution_id=EXECUTION_ID))
    with ThreadPoolExecutor(16) as threads:
        updates = [
            threads.submit(update_metadata, store, EXECUTION_ID, add_label(str(number)))
            for number, store in enumerate(stores)
        ]
    assert [update.exception() for update in updates] == [None] * 16
    assert len(read_execution(stores[0], EXECUTION_ID).metadata.labels) == 16
    assert all(store.server.swaps_atomically for store in stores)


def test_a_stale_update_is_refused(ceph: None, bucket: str) -> None:
    store = open_store(bucket)
    store.put_if_absent(KEY, b"one", "text/plain")
    etag = store.get(KEY).etag
    store.compare_and_swap(KEY, b"two", etag, "text/plain")
    with pytest.raises(ConflictError):
        store.compare_and_swap(KEY, b"three", etag, "text/plain")
    assert store.get(KEY).content == b"two"


def test_where_every_condition_is_refused_an_update_is_looked_at_again(scene: Scene) -> None:
    """Somebody overwrites what was written without a condition: it is written once more."""
    quirks.pretend(scene.recorder, quirks.CEPH_VERSIONED)
    store = open_store(scene.bucket)
    create_execution(store, ExecutionMetadata(execution_id=EXECUTION_ID))
    current = store.get(f"executions/{EXECUTION_ID}/metadata.json")

    class Overwrite(faults.Fault):
        def request_head(self, waiting: object) -> None:
            store.session.boto.put_object(
                Bucket=scene.bucket,
                Key=f"executions/{EXECUTION_ID}/metadata.json",
                Body=current.content.replace(b'"labels": {}', b'"labels": {"theirs": "yes"}'),
            )

    # Read; refused, look; refused, look; written; and then the look that finds it gone.
    scene.recorder.clear()
    scene.recorder.inject(Overwrite(), "GetObject", nth=4)
    updated = update_metadata(store, EXECUTION_ID, add_label("ours"))
    assert updated.labels == {"theirs": "yes", "ours": "yes"}
    assert read_execution(store, EXECUTION_ID).metadata.labels == updated.labels
    assert not store.server.swaps_atomically


# --- storage classes ---------------------------------------------------------------------


def test_what_a_server_reads_from_an_archive_class_is_read(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.cli(
        "upload", execution, scene.write_tree({"stdout.log": "hello\n", "a.bin": b"1234"})
    ).ok()
    quirks.pretend(scene.recorder, quirks.Server(quirks.ServesArchived()))
    assert "DEEP_ARCHIVE" in scene.cli("ls", execution).ok().out
    scene.cli("download", execution, "-o", scene.directory / "target").ok()
    assert (scene.directory / "target/artifacts/custom/a.bin").read_bytes() == b"1234"
    assert len(scene.cli("url", execution).ok().lines) == 2
    assert scene.cli("logs", execution, "--all").ok().out == "hello\n"


# --- a private CA ------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("ls",), ("show", EXECUTION_ID)], ids=lambda one: one[0])
def test_a_ca_bundle_that_is_not_there_counts_for_tls_only(
    arguments: tuple[str, ...], cli: RunCommand, s3env: dict[str, str]
) -> None:
    nowhere = {"AWS_CA_BUNDLE": "/nowhere/ca.pem"}
    tls = nowhere | {"AWS_ENDPOINT_URL": s3env["AWS_ENDPOINT_URL"].replace("http:", "https:")}
    assert "AWS_CA_BUNDLE: cannot read /nowhere/ca.pem" in cli(*arguments, env=tls).expect(2).err
    cli(*arguments, env=nowhere).expect(0 if arguments == ("ls",) else 4)
