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
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import update_metadata
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.session import S3Session, S3Settings
from tests.scenarios.commands import CASES, Bench, check_failure, check_success
from tests.support import faults
from tests.support.executions import read_record
from tests.support.forkserver import ForkServer
from tests.support.gathering import Act, Gather
from tests.support.objects import unfinished_uploads
from tests.support.operations import Request
from tests.support.proxy import Proxy
from tests.support.running import Argument, Result, RunCommand
from tests.support.secrets import check_no_secrets
from tests.support.small_scale import PART_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITERS = 8
SIZES = {"small": 1000, "one part": PART_BYTES, "large": 3 * PART_BYTES + 1}
MakeTree = Callable[..., Path]


@pytest.fixture
def bench(recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path) -> Bench:
    return Bench(recorder, s3, bucket, tmp_path)


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


def files_of(bench: Bench, execution_id: str) -> dict[str, bytes]:
    found = bench.stored_files(execution_id)
    found.pop("metadata.json")
    return found


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
    bench: Bench, forks: ForkServer, make_tree: MakeTree, meeting: str | None
) -> None:
    """All succeed, each object is there once, and no multipart upload is left behind."""
    tree = make_tree(TREE)
    execution_id = bench.new_execution()
    if meeting:
        bench.proxy.inject(Gather(WRITERS), meeting, key=meeting_place(meeting), times=WRITERS)
    results = run_at_once(forks, [("upload", execution_id, tree, "--json")] * WRITERS)
    bench.proxy.settle()
    assert [result.exit_code for result in results] == [0] * WRITERS, results
    assert files_of(bench, execution_id) == {PLACES[name]: TREE[name] for name in TREE}
    assert unfinished_uploads(bench.s3, bench.bucket) == {}
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


def test_eight_streams_of_the_same_bytes_all_succeed(bench: Bench, forks: ForkServer) -> None:
    content = bytes(range(256)) * 700
    execution_id = bench.new_execution()
    bench.proxy.inject(Gather(WRITERS), "CompleteMultipartUpload", times=WRITERS)
    command = ("upload", execution_id, "-", "--name", "stdout.log")
    results = run_at_once(forks, [command] * WRITERS, [content] * WRITERS)
    assert [result.exit_code for result in results] == [0] * WRITERS, results
    assert files_of(bench, execution_id) == {"logs/stdout.log": content}
    assert unfinished_uploads(bench.s3, bench.bucket) == {}


# --- the same key, different content ---------------------------------------------------------


@pytest.mark.parametrize("source", ["file", "stream"])
@pytest.mark.parametrize("size", SIZES)
def test_of_eight_contents_for_one_key_one_wins_whole(
    bench: Bench, forks: ForkServer, tmp_path: Path, size: str, source: str
) -> None:
    """Exactly one wins, whole; the others are told of the conflict."""
    contents = [bytes([65 + number]) * SIZES[size] for number in range(WRITERS)]
    execution_id = bench.new_execution()
    last = "PutObject" if SIZES[size] <= PART_BYTES else "CompleteMultipartUpload"
    bench.proxy.inject(Gather(WRITERS), last, key="stdout.log$", times=WRITERS)
    if source == "file":
        commands = [
            ("upload", execution_id, written(tmp_path / str(number) / "stdout.log", content))
            for number, content in enumerate(contents)
        ]
        results = run_at_once(forks, list(commands))
    else:
        command = ("upload", execution_id, "-", "--name", "stdout.log")
        results = run_at_once(forks, [command] * WRITERS, contents)
    assert sorted(result.exit_code for result in results) == [0] + [6] * (WRITERS - 1), results
    winner = next(number for number, result in enumerate(results) if result.exit_code == 0)
    assert files_of(bench, execution_id) == {"logs/stdout.log": contents[winner]}
    assert unfinished_uploads(bench.s3, bench.bucket) == {}
    # Nothing that was stored is lost, but seven contents are not stored.
    failures = read_record(bench.s3, bench.bucket, execution_id)["failures"]
    assert [one["path"] for one in failures] == ["logs/stdout.log"]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_of_several_new_executions_with_one_id_one_is_made(bench: Bench, forks: ForkServer) -> None:
    execution_id = bench.new_execution()
    bench.s3.delete_object(Bucket=bench.bucket, Key=f"executions/{execution_id}/metadata.json")
    bench.proxy.inject(Gather(WRITERS), "PutObject", times=WRITERS)
    commands = [("new", "--id", execution_id, "--suite", f"s{number}") for number in range(WRITERS)]
    results = run_at_once(forks, list(commands))
    assert sorted(result.exit_code for result in results) == [0] + [6] * (WRITERS - 1), results
    winner = next(number for number, result in enumerate(results) if result.exit_code == 0)
    record = read_record(bench.s3, bench.bucket, execution_id)
    assert record["test_suite"] == f"s{winner}"


def test_of_two_results_for_one_execution_one_is_recorded(bench: Bench, forks: ForkServer) -> None:
    """One result is recorded, everywhere; who says the other is told."""
    execution_id = bench.new_execution({"artifacts/results.json": b"{}"})
    bench.proxy.inject(Gather(WRITERS), "PutObject", key="metadata.json$", times=WRITERS)
    said = ["pass", "fail"] * (WRITERS // 2)
    results = run_at_once(forks, [("finish", execution_id, "--result", one) for one in said])
    record = read_record(bench.s3, bench.bucket, execution_id)
    codes = [0 if one == record["result"] else 6 for one in said]
    assert [result.exit_code for result in results] == codes, results
    (history,) = bench.history(execution_id)
    line = json.loads(history)
    assert (line["result"], line["ended_at"]) == (record["result"], record["ended_at"])


# --- metadata.json ---------------------------------------------------------------------------


def test_sixteen_updates_of_the_metadata_at_once_are_all_kept(bench: Bench) -> None:
    """Compare-and-swap: all have read the same record before the first writes."""
    updates = 16
    execution_id = bench.new_execution()
    bench.proxy.inject(Gather(updates), "PutObject", key="metadata.json$", times=updates)
    before = Counter(bench.proxy.operations())

    def add_label(number: int) -> None:
        def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
            labels = metadata.labels | {f"writer-{number}": str(number)}
            return metadata.model_copy(update={"labels": labels})

        store = ArtifactStore(S3Session(S3Settings(bench.bucket, environment=os.environ)))
        update_metadata(store, execution_id, change)

    with ThreadPoolExecutor(updates) as pool:
        list(pool.map(add_label, range(updates)))
    record = read_record(bench.s3, bench.bucket, execution_id)
    assert record["labels"] == {f"writer-{number}": str(number) for number in range(updates)}
    assert (bench.proxy.operations() - before)["PutObject"] > updates  # they did collide


def test_sixteen_processes_record_their_failures(
    bench: Bench, forks: ForkServer, tmp_path: Path
) -> None:
    """Each upload has one file that is refused; every one of them is on record."""
    writers = 16
    execution_id = bench.new_execution()
    bench.proxy.inject(Gather(writers), "PutObject", key="metadata.json$", times=writers)
    bench.proxy.inject(faults.access_denied(), "PutObject", key="refused-", times=None)
    names = [f"refused-{number}" for number in range(writers)]
    for name in names:
        (tmp_path / name).write_text(name)
    results = run_at_once(forks, [("upload", execution_id, str(tmp_path / n)) for n in names])
    assert {result.exit_code for result in results} == {5}, results
    record = read_record(bench.s3, bench.bucket, execution_id)
    paths = {failure["path"] for failure in record["failures"]}
    assert paths == {f"artifacts/custom/{name}" for name in names}
    assert record["artifact_status"] == "artifact_error"


# --- somebody interferes with an upload ------------------------------------------------------


def abort_all(bench: Bench) -> Callable[[Request], object]:
    """Return an action that ends every unfinished upload of the bucket, once."""
    first = threading.Lock()

    def action(request: Request) -> None:
        if first.acquire(blocking=False):
            for upload_id, key in unfinished_uploads(bench.s3, bench.bucket).items():
                bench.s3.abort_multipart_upload(Bucket=bench.bucket, Key=key, UploadId=upload_id)

    return action


@pytest.mark.parametrize("part_number", [1, 2, 3, None])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_the_unfinished_upload_is_lost_between_two_parts(
    bench: Bench, cli: RunCommand, command: str, part_number: int | None
) -> None:
    """Aborted by somebody else before that part, or before completing."""
    case = CASES[command](bench)
    operation = "UploadPart" if part_number else "CompleteMultipartUpload"
    bench.proxy.inject(Act(abort_all(bench)), operation, part_number=part_number)
    result = cli(*case.arguments, stdin=case.stdin)
    bench.proxy.settle()
    bench.proxy.heal()
    if command == "stream":
        # What has been read cannot be read again: whoever feeds the pipe has to.
        check_failure(bench, case, result, {9}, "aborted")
        assert "run the same command again" in result.err
        result = cli(*case.arguments, stdin=case.stdin)
    check_success(bench, case, result, "aborted")


@pytest.mark.parametrize("part_number", [1, 2, 3])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_somebody_overwrites_a_part(
    bench: Bench, cli: RunCommand, command: str, part_number: int
) -> None:
    """The server answers InvalidPart, or the foreign bytes would be in the object."""
    case = CASES[command](bench)

    def overwrite(request: Request) -> None:
        ((upload_id, key),) = unfinished_uploads(bench.s3, bench.bucket).items()
        upload: dict[str, Any] = {"Bucket": bench.bucket, "Key": key, "UploadId": upload_id}
        bench.s3.upload_part(**upload, PartNumber=part_number, Body=b"foreign" * 5000)

    bench.proxy.inject(Act(overwrite), "CompleteMultipartUpload")
    result = cli(*case.arguments, stdin=case.stdin)
    bench.proxy.settle()
    bench.proxy.heal()
    if command == "stream":
        check_failure(bench, case, result, {9}, "overwritten")
        result = cli(*case.arguments, stdin=case.stdin)
    check_success(bench, case, result, "overwritten")


@pytest.mark.parametrize("other", [b"other content", None])
@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("command", ["upload-large", "stream"])
def test_the_key_is_taken_while_the_parts_are_sent(
    bench: Bench, cli: RunCommand, command: str, operation: str, other: bytes | None
) -> None:
    """By other content: a conflict, and it stays. By the same: a success."""
    case = CASES[command](bench)
    ((path, content),) = case.expected.items()
    stored = content if other is None else other
    key = f"executions/{case.execution_id}/{path}"
    act = Act(lambda request: bench.s3.put_object(Bucket=bench.bucket, Key=key, Body=stored))
    bench.proxy.inject(act, operation, part_number=2 if operation == "UploadPart" else None)
    result = cli(*case.arguments, stdin=case.stdin)
    bench.proxy.settle()
    bench.proxy.heal()
    assert files_of(bench, case.execution_id) == {path: stored}
    assert unfinished_uploads(bench.s3, bench.bucket) == {}
    if other is None:
        check_success(bench, case, result, "taken by the same")
    else:
        result.expect(6)
        assert "nothing was changed" in result.err


def test_what_is_stored_is_looked_at_after_completing(bench: Bench, cli: RunCommand) -> None:
    """A server that makes another object of the parts is found out."""
    case = CASES["upload-large"](bench)
    ((path, _),) = case.expected.items()
    key = f"executions/{case.execution_id}/{path}"
    begun: dict[str, Any] = {}

    def spoil(request: Request) -> None:
        if "completed" in begun:
            bench.s3.put_object(Bucket=bench.bucket, Key=key, Body=b"not what was sent")

    bench.proxy.inject(Act(lambda request: begun.update(completed=True)), "CompleteMultipartUpload")
    bench.proxy.inject(Act(spoil), "HeadObject", key=f"{key}$", times=None)
    result = cli(*case.arguments).expect(7)
    assert "doctor" in result.err
