"""Two processes at once: nothing twice, nothing overwritten, and both are told the truth."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from tests.localstack.contents import PART, composite_base64, noise
from tests.support.commands.running import Processes, Result
from tests.support.proxy.faults import Hold
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack

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
    scene: Scene, cli_process: Processes, execution_id: str
) -> None:
    files = {f"{number}.bin": noise(1000, number) for number in range(40)}
    tree = scene.write_tree(files)
    command = ("upload", execution_id, tree, "--json")
    results = run_together(cli_process, command, command)
    outcomes = collections.defaultdict(list)
    for result in results:
        for line in result.ok().json_lines():
            outcomes[line["path"]].append(line["outcome"])
    assert {tuple(sorted(pair)) for pair in outcomes.values()} == {("created", "identical")}
    assert len(outcomes) == 40
    prefix = f"executions/{execution_id}/artifacts/custom/"
    assert scene.contents(prefix) == {prefix + name: files[name] for name in files}


def test_two_uploads_of_other_content_to_one_key_have_one_winner(
    scene: Scene, cli_process: Processes, execution_id: str
) -> None:
    trees = [scene.write_tree({"a.bin": noise(3000, seed)}, root=f"tree{seed}") for seed in (1, 2)]
    results = run_together(cli_process, *(("upload", execution_id, tree) for tree in trees))
    codes = [result.exit_code for result in results]
    assert sorted(codes) == [0, 6]
    winner = codes.index(0) + 1
    key = f"executions/{execution_id}/artifacts/custom/a.bin"
    assert scene.contents(key) == {key: noise(3000, winner)}


@pytest.mark.parametrize(("theirs", "exit_code"), [(b"ours", 0), (b"no!!", 6)])
def test_a_key_taken_just_before_a_put_keeps_what_it_has(
    scene: Scene, cli_process: Processes, execution_id: str, theirs: bytes, exit_code: int
) -> None:
    """The put was on its way when somebody else's arrived; what the key holds then decides."""
    key = f"executions/{execution_id}/artifacts/custom/a"
    hold = Hold("head")
    scene.recorder.inject(hold, "PutObject", key=key)
    process = cli_process.start("upload", execution_id, scene.write_tree({"a": b"ours"}))
    scene.recorder.wait_for(
        lambda seen: any((one.operation, one.key) == ("PutObject", key) for one in seen)
    )
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=theirs)
    hold.released.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == exit_code, said
    assert [put.status for put in scene.recorder.calls("PutObject", key)] == [412]
    assert scene.contents(key) == {key: theirs}


@pytest.mark.parametrize(("second", "exit_code"), [(LARGE, 0), (noise(len(LARGE), 9), 6)])
def test_of_two_large_uploads_the_later_completion_loses_and_says_so(
    scene: Scene, cli_process: Processes, execution_id: str, second: bytes, exit_code: int
) -> None:
    """The first to come is held just before its completion, until the other has completed."""
    trees = [
        scene.write_tree({"big": content}, root=root)
        for root, content in (("1", second), ("2", LARGE))
    ]
    hold = Hold("head")
    scene.recorder.inject(hold, "CompleteMultipartUpload")
    loser = cli_process.start("upload", execution_id, trees[0])
    scene.recorder.wait_for(
        lambda seen: any(one.operation == "CompleteMultipartUpload" for one in seen)
    )
    scene.cli("upload", execution_id, trees[1]).ok()
    hold.released.set()
    _, said = loser.communicate(timeout=60)
    assert loser.returncode == exit_code, said

    key = f"executions/{execution_id}/artifacts/custom/big"
    assert scene.contents(key) == {key: LARGE}
    head = scene.s3.head_object(Bucket=scene.bucket, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == composite_base64(LARGE)
    assert scene.unfinished_uploads() == {}


def test_two_finishes_at_once_write_one_history_line(
    scene: Scene, cli_process: Processes, execution_id: str
) -> None:
    command = ("finish", execution_id, "--result", "pass")
    for result in run_together(cli_process, command, command):
        result.ok()
    assert len(scene.contents("history/")) == 1
