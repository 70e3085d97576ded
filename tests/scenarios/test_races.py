"""Several writers at once: each object once, one content, no update lost.

The writers are processes. Where a race has a worst moment, the proxy holds all of them there until
the last has come.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import update_metadata
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from tests.scenarios.commands import CASES, CommandScene, check_failure, check_success
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Argument, Result
from tests.support.commands.secrets import check_no_secrets
from tests.support.commands.small_scale import PART_BYTES
from tests.support.proxy import faults
from tests.support.proxy.gathering import Act, Gather
from tests.support.proxy.operations import Request

WRITERS = 8
SIZES = {"small": 1000, "one part": PART_BYTES, "large": 3 * PART_BYTES + 1}


def run_at_once(
    forks: ForkServer, commands: list[tuple[Argument, ...]], stdin: list[bytes] | None = None
) -> list[Result]:
    inputs = stdin or [b""] * len(commands)
    children = [
        forks.start(*command, stdin=data) for command, data in zip(commands, inputs, strict=True)
    ]
    results = [child.wait() for child in children]
    for result in results:
        check_no_secrets(result)
        assert "Traceback" not in result.err, result.err
    return results


# --- the same tree ---------------------------------------------------------------------------

TREE = {
    "runner.log": b"log " * 500,
    "results.json": b"{}",
    "empty": b"",
    "screenshots/one.png": b"\x89PNG" * 300,
    "large.bin": bytes(range(256)) * 400,
    "larger.bin": bytes(range(255, -1, -1)) * 700,
}
PLACES = {
    "runner.log": "logs/runner.log",
    "results.json": "artifacts/results.json",
    "empty": "artifacts/custom/empty",
    "screenshots/one.png": "artifacts/screenshots/one.png",
    "large.bin": "artifacts/custom/large.bin",
    "larger.bin": "artifacts/custom/larger.bin",
}


@pytest.mark.parametrize(
    "meeting",
    [None, "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"],
)
def test_eight_processes_on_the_same_tree_all_succeed(
    scene: CommandScene, forks: ForkServer, meeting: str | None
) -> None:
    """All succeed, each object is there once, and no multipart upload is left behind."""
    tree = scene.write_tree(TREE)
    execution_id = scene.make_execution()
    if meeting:
        scene.recorder.inject(Gather(WRITERS), meeting, key=meeting_place(meeting), times=WRITERS)
    results = run_at_once(forks, [("upload", execution_id, tree, "--json")] * WRITERS)
    scene.recorder.settle()
    assert [result.exit_code for result in results] == [0] * WRITERS, results
    assert scene.files(execution_id) == {PLACES[name]: TREE[name] for name in TREE}
    assert scene.unfinished_uploads() == {}
    outcomes = Counter(
        (line["path"], line["outcome"]) for result in results for line in result.json_lines()
    )
    assert {outcome for _, outcome in outcomes} <= {"created", "identical"}
    for name, path in PLACES.items():
        # Of those that completed one upload together, each may say that it did.
        together = len(TREE[name]) > PART_BYTES
        assert outcomes[path, "created"] == 1 or together


def meeting_place(operation: str) -> str:
    return "runner.log$" if operation == "PutObject" else "large.bin$"


def test_eight_streams_of_the_same_bytes_all_succeed(
    scene: CommandScene, forks: ForkServer
) -> None:
    content = bytes(range(256)) * 700
    execution_id = scene.make_execution()
    scene.recorder.inject(Gather(WRITERS), "CompleteMultipartUpload", times=WRITERS)
    command = ("upload", execution_id, "-", "--name", "stdout.log")
    results = run_at_once(forks, [command] * WRITERS, [content] * WRITERS)
    assert [result.exit_code for result in results] == [0] * WRITERS, results
    assert scene.files(execution_id) == {"logs/stdout.log": content}
    assert scene.unfinished_uploads() == {}


# --- the same key, different content ---------------------------------------------------------


@pytest.mark.parametrize("source", ["file", "stream"])
@pytest.mark.parametrize("size", SIZES)
def test_of_eight_contents_for_one_key_one_wins_whole(
    scene: CommandScene, forks: ForkServer, size: str, source: str
) -> None:
    """Exactly one wins, whole; the others are told of the conflict."""
    contents = [bytes([65 + number]) * SIZES[size] for number in range(WRITERS)]
    execution_id = scene.make_execution()
    last = "PutObject" if SIZES[size] <= PART_BYTES else "CompleteMultipartUpload"
    scene.recorder.inject(Gather(WRITERS), last, key="stdout.log$", times=WRITERS)
    if source == "file":
        commands = [
            ("upload", execution_id, written(scene.directory / str(number) / "stdout.log", content))
            for number, content in enumerate(contents)
        ]
        results = run_at_once(forks, list(commands))
    else:
        command = ("upload", execution_id, "-", "--name", "stdout.log")
        results = run_at_once(forks, [command] * WRITERS, contents)
    assert sorted(result.exit_code for result in results) == [0] + [6] * (WRITERS - 1), results
    winner = next(number for number, result in enumerate(results) if result.exit_code == 0)
    assert scene.files(execution_id) == {"logs/stdout.log": contents[winner]}
    assert scene.unfinished_uploads() == {}
    # Nothing that was stored is lost, but seven contents are not stored.
    failures = scene.record(execution_id)["failures"]
    assert [one["path"] for one in failures] == ["logs/stdout.log"]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_of_several_new_executions_with_one_id_one_is_made(
    scene: CommandScene, forks: ForkServer
) -> None:
    execution_id = scene.make_execution()
    scene.s3.delete_object(Bucket=scene.bucket, Key=f"executions/{execution_id}/metadata.json")
    scene.recorder.inject(Gather(WRITERS), "PutObject", times=WRITERS)
    commands = [("new", "--id", execution_id, "--suite", f"s{number}") for number in range(WRITERS)]
    results = run_at_once(forks, list(commands))
    assert sorted(result.exit_code for result in results) == [0] + [6] * (WRITERS - 1), results
    winner = next(number for number, result in enumerate(results) if result.exit_code == 0)
    record = scene.record(execution_id)
    assert record["test_suite"] == f"s{winner}"


def test_of_two_results_for_one_execution_one_is_recorded(
    scene: CommandScene, forks: ForkServer
) -> None:
    """One result is recorded, everywhere; who says the other is told."""
    execution_id = scene.make_execution({"artifacts/results.json": b"{}"})
    scene.recorder.inject(Gather(WRITERS), "PutObject", key="metadata.json$", times=WRITERS)
    said = ["pass", "fail"] * (WRITERS // 2)
    results = run_at_once(forks, [("finish", execution_id, "--result", one) for one in said])
    record = scene.record(execution_id)
    codes = [0 if one == record["result"] else 6 for one in said]
    assert [result.exit_code for result in results] == codes, results
    (history,) = scene.history(execution_id)
    line = json.loads(history)
    assert (line["result"], line["ended_at"]) == (record["result"], record["ended_at"])


# --- metadata.json ---------------------------------------------------------------------------


def test_sixteen_updates_of_the_metadata_at_once_are_all_kept(scene: CommandScene) -> None:
    """Compare-and-swap: all have read the same record before the first writes."""
    updates = 16
    execution_id = scene.make_execution()
    scene.recorder.inject(Gather(updates), "PutObject", key="metadata.json$", times=updates)
    before = Counter(scene.recorder.operations())

    def add_label(number: int) -> None:
        def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
            labels = metadata.labels | {f"writer-{number}": str(number)}
            return metadata.model_copy(update={"labels": labels})

        store = ArtifactStore(S3Session(S3Settings(scene.bucket, environment=os.environ)))
        update_metadata(store, execution_id, change)

    with ThreadPoolExecutor(updates) as pool:
        list(pool.map(add_label, range(updates)))
    record = scene.record(execution_id)
    assert record["labels"] == {f"writer-{number}": str(number) for number in range(updates)}
    assert (scene.recorder.operations() - before)["PutObject"] > updates  # they did collide


def test_sixteen_processes_record_their_failures(scene: CommandScene, forks: ForkServer) -> None:
    """Each upload has one file that is refused; every one of them is on record."""
    writers = 16
    execution_id = scene.make_execution()
    scene.recorder.inject(Gather(writers), "PutObject", key="metadata.json$", times=writers)
    scene.recorder.inject(faults.access_denied(), "PutObject", key="refused-", times=None)
    names = [f"refused-{number}" for number in range(writers)]
    for name in names:
        (scene.directory / name).write_text(name)
    results = run_at_once(
        forks, [("upload", execution_id, str(scene.directory / n)) for n in names]
    )
    assert {result.exit_code for result in results} == {5}, results
    record = scene.record(execution_id)
    paths = {failure["path"] for failure in record["failures"]}
    assert paths == {f"artifacts/custom/{name}" for name in names}
    assert record["artifact_status"] == "artifact_error"


# --- somebody interferes with an upload ------------------------------------------------------


def abort_all(scene: CommandScene) -> Callable[[Request], object]:
    """Return an action that ends every unfinished upload of the bucket, once."""
    first = threading.Lock()

    def action(request: Request) -> None:
        if first.acquire(blocking=False):
            for upload_id, key in scene.unfinished_uploads().items():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=key, UploadId=upload_id)

    return action


@pytest.mark.parametrize("part_number", [1, 2, 3, None])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_an_upload_that_is_lost_between_two_parts_is_stored_even_so(
    scene: CommandScene, command: str, part_number: int | None
) -> None:
    """Aborted by somebody else before that part, or before completing."""
    case = CASES[command](scene)
    operation = "UploadPart" if part_number else "CompleteMultipartUpload"
    scene.recorder.inject(Act(abort_all(scene)), operation, part_number=part_number)
    result = scene.cli(*case.arguments, stdin=case.stdin)
    scene.recorder.settle()
    scene.recorder.heal()
    if command == "stream":
        # What has been read cannot be read again: whoever feeds the pipe has to.
        check_failure(scene, case, result, {9}, "aborted")
        assert "run the same command again" in result.err
        result = scene.cli(*case.arguments, stdin=case.stdin)
    check_success(scene, case, result, "aborted")


@pytest.mark.parametrize("part_number", [1, 2, 3])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_a_part_that_somebody_overwrites_is_not_in_the_object(
    scene: CommandScene, command: str, part_number: int
) -> None:
    """The server answers InvalidPart, or the foreign bytes would be in the object."""
    case = CASES[command](scene)

    def overwrite(request: Request) -> None:
        ((upload_id, key),) = scene.unfinished_uploads().items()
        upload: dict[str, Any] = {"Bucket": scene.bucket, "Key": key, "UploadId": upload_id}
        scene.s3.upload_part(**upload, PartNumber=part_number, Body=b"foreign" * 5000)

    scene.recorder.inject(Act(overwrite), "CompleteMultipartUpload")
    result = scene.cli(*case.arguments, stdin=case.stdin)
    scene.recorder.settle()
    scene.recorder.heal()
    if command == "stream":
        check_failure(scene, case, result, {9}, "overwritten")
        result = scene.cli(*case.arguments, stdin=case.stdin)
    check_success(scene, case, result, "overwritten")


@pytest.mark.parametrize("other", [b"other content", None])
@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_the_key_is_taken_while_the_parts_are_sent(
    scene: CommandScene, command: str, operation: str, other: bytes | None
) -> None:
    """By other content: a conflict, and it stays. By the same: a success."""
    case = CASES[command](scene)
    ((path, content),) = case.expected.items()
    stored = content if other is None else other
    key = f"executions/{case.execution_id}/{path}"
    act = Act(lambda request: scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=stored))
    scene.recorder.inject(act, operation, part_number=2 if operation == "UploadPart" else None)
    result = scene.cli(*case.arguments, stdin=case.stdin)
    scene.recorder.settle()
    scene.recorder.heal()
    assert scene.files(case.execution_id) == {path: stored}
    assert scene.unfinished_uploads() == {}
    if other is None:
        check_success(scene, case, result, "taken by the same")
    else:
        result.expect(6)
        assert "nothing was changed" in result.err


def test_what_is_stored_is_looked_at_after_completing(scene: CommandScene) -> None:
    """A server that makes another object of the parts is found out."""
    case = CASES["upload-large"](scene)
    ((path, _),) = case.expected.items()
    key = f"executions/{case.execution_id}/{path}"
    begun: dict[str, Any] = {}

    def spoil(request: Request) -> None:
        if "completed" in begun:
            scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"not what was sent")

    scene.recorder.inject(
        Act(lambda request: begun.update(completed=True)), "CompleteMultipartUpload"
    )
    scene.recorder.inject(Act(spoil), "HeadObject", key=f"{key}$", times=None)
    result = scene.cli(*case.arguments).expect(7)
    assert "doctor" in result.err
