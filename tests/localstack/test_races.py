"""Two processes at once: nothing twice, nothing overwritten, and both are told the truth."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.localstack.contents import PART, composite_base64, noise
from tests.support.faults import Hold
from tests.support.objects import bucket_contents, unfinished_uploads
from tests.support.proxy import Proxy
from tests.support.running import Processes, Result, RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack

MakeTree = Callable[..., Path]
LARGE = noise(2 * PART + 77)


def run_together(processes: Processes, *commands: tuple[str | Path, ...]) -> list[Result]:
    """Start the commands at once and return how each ended."""
    started = [processes.start(*command) for command in commands]
    results = []
    for process in started:
        out, err = process.communicate(timeout=90)
        results.append(Result(process.returncode, out, err))
    return results


def test_two_uploads_of_one_tree_store_each_file_once(
    s3: S3Client, bucket: str, cli_process: Processes, execution_id: str, make_tree: MakeTree
) -> None:
    files = {f"{number}.bin": noise(1000, number) for number in range(40)}
    tree = make_tree(files)
    command = ("upload", execution_id, tree, "--json")
    results = run_together(cli_process, command, command)
    outcomes = collections.defaultdict(list)
    for result in results:
        for line in result.ok().json_lines():
            outcomes[line["path"]].append(line["outcome"])
    assert {tuple(sorted(pair)) for pair in outcomes.values()} == {("created", "identical")}
    assert len(outcomes) == 40
    prefix = f"executions/{execution_id}/artifacts/custom/"
    assert bucket_contents(s3, bucket, prefix) == {prefix + name: files[name] for name in files}


def test_two_uploads_of_other_content_to_one_key_have_one_winner(
    s3: S3Client, bucket: str, cli_process: Processes, execution_id: str, make_tree: MakeTree
) -> None:
    trees = [make_tree({"a.bin": noise(3000, seed)}, root=f"tree{seed}") for seed in (1, 2)]
    results = run_together(cli_process, *(("upload", execution_id, tree) for tree in trees))
    codes = [result.exit_code for result in results]
    assert sorted(codes) == [0, 6]
    winner = codes.index(0) + 1
    key = f"executions/{execution_id}/artifacts/custom/a.bin"
    assert bucket_contents(s3, bucket, key) == {key: noise(3000, winner)}


@pytest.mark.parametrize(("theirs", "exit_code"), [(b"ours", 0), (b"no!!", 6)])
def test_a_key_taken_just_before_a_put_keeps_what_it_has(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli_process: Processes,
    execution_id: str,
    make_tree: MakeTree,
    theirs: bytes,
    exit_code: int,
) -> None:
    """The put was on its way when somebody else's arrived; what the key holds then decides."""
    key = f"executions/{execution_id}/artifacts/custom/a"
    hold = Hold("head")
    recorder.inject(hold, "PutObject", key=key)
    process = cli_process.start("upload", execution_id, make_tree({"a": b"ours"}))
    recorder.wait_for(
        lambda seen: any((one.operation, one.key) == ("PutObject", key) for one in seen)
    )
    s3.put_object(Bucket=bucket, Key=key, Body=theirs)
    hold.released.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == exit_code, said
    assert [put.status for put in recorder.calls("PutObject", key)] == [412]
    assert bucket_contents(s3, bucket, key) == {key: theirs}


@pytest.mark.parametrize(("second", "exit_code"), [(LARGE, 0), (noise(len(LARGE), 9), 6)])
def test_of_two_large_uploads_the_later_completion_loses_and_says_so(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    cli_process: Processes,
    execution_id: str,
    make_tree: MakeTree,
    second: bytes,
    exit_code: int,
) -> None:
    """The first to come is held just before its completion, until the other has completed."""
    trees = [
        make_tree({"big": content}, root=root) for root, content in (("1", second), ("2", LARGE))
    ]
    hold = Hold("head")
    recorder.inject(hold, "CompleteMultipartUpload")
    loser = cli_process.start("upload", execution_id, trees[0])
    recorder.wait_for(lambda seen: any(one.operation == "CompleteMultipartUpload" for one in seen))
    cli("upload", execution_id, trees[1]).ok()
    hold.released.set()
    _, said = loser.communicate(timeout=60)
    assert loser.returncode == exit_code, said

    key = f"executions/{execution_id}/artifacts/custom/big"
    assert bucket_contents(s3, bucket, key) == {key: LARGE}
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == composite_base64(LARGE)
    assert unfinished_uploads(s3, bucket) == {}


def test_two_finishes_at_once_write_one_history_line(
    s3: S3Client, bucket: str, cli_process: Processes, execution_id: str
) -> None:
    command = ("finish", execution_id, "--result", "pass")
    for result in run_together(cli_process, command, command):
        result.ok()
    assert len(bucket_contents(s3, bucket, "history/")) == 1
