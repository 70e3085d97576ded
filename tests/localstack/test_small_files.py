"""Files of one PutObject: create-only, verified by the server, and sent the cheap way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator_cli.core.executions.keys import metadata_key
from tests.localstack.contents import noise, sha256_base64
from tests.support.commands.running import RunCommand
from tests.support.proxy.faults import CorruptRequest, DropAnswer
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack

KEY = "executions/{}/artifacts/custom/{}"
# Straight from the object client, that is: boto3 puts its own name first.


def stored_files(scene: Scene, execution_id: str) -> dict[str, bytes]:
    """Return the content of each file by its name under artifacts/custom/."""
    prefix = KEY.format(execution_id, "")
    found = scene.contents(prefix)
    return {key.removeprefix(prefix): content for key, content in found.items()}


def test_every_put_is_create_only_and_has_its_digest(scene: Scene, execution_id: str) -> None:
    files = {f"{number}.bin": noise(1000 + number, number) for number in range(5)}
    scene.recorder.clear()
    scene.cli("upload", execution_id, scene.write_tree(files), "--concurrency", "1").ok()

    agents = {
        put.request.headers["user-agent"].partition("/")[0]
        for put in scene.recorder.calls("PutObject")
    }
    assert agents == {"orchestrator"}
    puts = {put.key: put for put in scene.recorder.calls("PutObject")}
    # The record is replaced, not created: it says that the upload begins, and has ended.
    assert puts.pop(metadata_key(execution_id)).request.headers["if-match"]
    assert puts.keys() == {KEY.format(execution_id, name) for name in files}
    for name, content in files.items():
        headers = puts[KEY.format(execution_id, name)].request.headers
        assert headers["if-none-match"] == "*"
        assert headers["x-amz-checksum-sha256"] == sha256_base64(content)
        assert headers["x-amz-meta-sha256"] == hashlib.sha256(content).hexdigest()


def test_the_md5_is_left_out_once_the_server_has_shown_that_it_verifies(
    scene: Scene, execution_id: str
) -> None:
    tree = scene.write_tree({f"{number}.bin": noise(100, number) for number in range(4)})
    scene.recorder.clear()
    scene.cli("upload", execution_id, tree, "--concurrency", "1").ok()
    puts = [put.request.headers for put in scene.recorder.calls("PutObject")]
    # The first is the record, which says that an upload begins.
    assert ["content-md5" in headers for headers in puts] == [True] + [False] * 5


def test_the_server_keeps_the_digest(scene: Scene, execution_id: str) -> None:
    content = noise(5000)
    scene.cli("upload", execution_id, scene.write_tree({"a.bin": content, "b.bin": content})).ok()
    for name in ("a.bin", "b.bin"):  # one by each client
        key = KEY.format(execution_id, name)
        head = scene.s3.head_object(Bucket=scene.bucket, Key=key, ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == sha256_base64(content)
        assert head["Metadata"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_same_again_is_identical_and_other_content_is_a_conflict(
    scene: Scene, execution_id: str
) -> None:
    tree = scene.write_tree({"a.bin": noise(3000), "empty": b""})
    assert {line["outcome"] for line in uploaded(scene.cli, execution_id, tree)} == {"created"}
    assert {line["outcome"] for line in uploaded(scene.cli, execution_id, tree)} == {"identical"}

    (tree / "a.bin").write_bytes(noise(3000, seed=1))
    outcome = scene.cli("upload", execution_id, tree, "--json").expect(6).json_lines()
    assert {line["path"]: line["outcome"] for line in outcome} == {
        "artifacts/custom/a.bin": "conflict",
        "artifacts/custom/empty": "identical",
    }
    assert stored_files(scene, execution_id) == {"a.bin": noise(3000), "empty": b""}


def uploaded(cli: RunCommand, execution_id: str, tree: Path) -> list[dict[str, object]]:
    return cli("upload", execution_id, tree, "--json").ok().json_lines()


def test_a_hundred_files_are_stored_once_however_often_sent(
    scene: Scene, execution_id: str
) -> None:
    files = {f"d{number % 7}/{number}.bin": noise(number * 97, number) for number in range(100)}
    tree = scene.write_tree(files)
    first = uploaded(scene.cli, execution_id, tree)
    assert [line["outcome"] for line in first] == ["created"] * 100
    assert stored_files(scene, execution_id) == files

    scene.recorder.clear()
    second = uploaded(scene.cli, execution_id, tree)
    assert [line["outcome"] for line in second] == ["identical"] * 100
    assert scene.recorder.count("PutObject") == 0


def test_a_body_harmed_on_its_way_is_refused_and_sent_again(
    scene: Scene, execution_id: str
) -> None:
    files = {"a.bin": noise(3000, 1), "b.bin": noise(3000, 2)}
    scene.recorder.clear()
    for name in files:
        scene.recorder.inject(CorruptRequest(1234), "PutObject", key=name)
    scene.cli("upload", execution_id, scene.write_tree(files), "--concurrency", "1").ok()

    for name in files:
        puts = scene.recorder.calls("PutObject", KEY.format(execution_id, name))
        assert [put.status for put in puts] == [400, 200]
    assert stored_files(scene, execution_id) == files


def test_a_body_harmed_every_time_ends_in_an_integrity_error_and_leaves_nothing(
    scene: Scene, execution_id: str
) -> None:
    tree = scene.write_tree({"a.bin": noise(3000)})
    scene.recorder.inject(CorruptRequest(), "PutObject", key=r"a\.bin$", times=None)
    result = scene.cli("upload", execution_id, tree).expect(7)
    assert "do not match their checksum" in result.err
    assert stored_files(scene, execution_id) == {}

    scene.recorder.heal()
    scene.cli("upload", execution_id, tree).ok()
    assert stored_files(scene, execution_id) == {"a.bin": noise(3000)}


def test_a_put_whose_answer_was_lost_is_a_success(scene: Scene, execution_id: str) -> None:
    scene.recorder.clear()
    scene.recorder.inject(DropAnswer(), "PutObject", key=r"a\.bin$")
    scene.cli("upload", execution_id, scene.write_tree({"a.bin": noise(3000)})).ok()
    puts = scene.recorder.calls("PutObject", KEY.format(execution_id, "a.bin"))
    assert [put.server_status for put in puts] == [200, 412]
    assert stored_files(scene, execution_id) == {"a.bin": noise(3000)}
