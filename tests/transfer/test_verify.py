"""`orchestrator verify`: what S3 holds against the manifest, and against local files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.transfer.download.verify import verify_stored
from tests.support.commands.running import Result, RunCommand
from tests.support.proxy import faults
from tests.support.scene import Scene, write_tree
from tests.support.stored.engine import open_store
from tests.support.stored.executions import make_id, put_metadata

TREE: dict[str, bytes] = {
    "stdout.log": b"\x1b[31mred\xff\n",
    "results.json": b"{}",
    "empty": b"",
    "sub/ünï [red].txt": b"text",
}
STORED = {
    "artifacts/custom/empty": TREE["empty"],
    "artifacts/custom/sub/ünï [red].txt": TREE["sub/ünï [red].txt"],
    "artifacts/results.json": TREE["results.json"],
    "logs/stdout.log": TREE["stdout.log"],
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", TREE)


@pytest.fixture
def execution(scene: Scene) -> str:
    """A finished execution with what an upload of the tree stores."""
    return scene.put_finished_execution(STORED)


def damage(scene: Scene, execution: str, path: str, data: bytes = b"no") -> None:
    scene.put_file(execution, path, data)


def findings(result: Result) -> dict[str, str]:
    return {record["path"]: record["finding"] for record in result.json_lines()}


# --- against the manifest --------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--read"]])
def test_what_is_as_it_was_is_ok(scene: Scene, execution: str, options: list[str]) -> None:
    stored = scene.contents()
    result = scene.cli("verify", execution, *options).ok()
    assert result.stdout == b""
    assert result.err == f"verified {execution}: 4 ok\n"
    assert scene.contents() == stored
    verbose = scene.cli("-v", "verify", execution.lower(), *options).ok()
    assert verbose.err.count("ok: ") == 4
    assert scene.cli("--quiet", "verify", execution, *options).ok().err == ""


def test_json_is_an_object_a_file(cli: RunCommand, execution: str) -> None:
    records = cli("verify", execution, "--json").ok().json_lines()
    assert [record["path"] for record in records] == [
        "artifacts/custom/empty",
        "artifacts/custom/sub/ünï [red].txt",
        "artifacts/results.json",
        "logs/stdout.log",
    ]
    assert [record["size_bytes"] for record in records] == [0, 4, 2, 10]
    assert {record["finding"] for record in records} == {"ok"}
    assert all(record["detail"].startswith("sha256:") for record in records)


def test_other_bytes_differ(scene: Scene, execution: str) -> None:
    damage(scene, execution, "artifacts/results.json", b"[]")
    result = scene.cli("verify", execution).expect(7)
    assert result.stdout == b""
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("failed: differs: artifacts/results.json: stored sha256:")
    assert lines[1] == "error: 1 differs"
    as_json = scene.cli("verify", execution, "--json").expect(7)
    assert findings(as_json)["artifacts/results.json"] == "differs"
    assert list(findings(as_json).values()).count("ok") == 3


def test_a_checksum_that_lies_is_found_by_reading(scene: Scene, execution: str) -> None:
    key = f"executions/{execution}/artifacts/results.json"
    recorded = scene.s3.head_object(Bucket=scene.bucket, Key=key)["Metadata"]
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"[]", Metadata=recorded)
    scene.cli("verify", execution).ok()
    result = scene.cli("verify", execution, "--read").expect(7)
    assert "the bytes read back do not match the checksum" in result.err


def test_missing_and_unlisted_files_are_failures(scene: Scene, execution: str) -> None:
    scene.s3.delete_object(Bucket=scene.bucket, Key=f"executions/{execution}/logs/stdout.log")
    damage(scene, execution, "artifacts/custom/new\u202e")
    result = scene.cli("verify", execution).expect(3)
    assert "failed: missing: logs/stdout.log: in the manifest, not in S3" in result.err
    assert "failed: unlisted: artifacts/custom/new\\u202e: stored, but not in" in result.err
    assert "error: 1 missing, 1 unlisted\n" in result.err
    assert "the same upload again stores what is missing" in result.err


def test_an_object_without_a_checksum_cannot_be_verified(scene: Scene) -> None:
    execution_id = scene.put_execution()
    key = f"executions/{execution_id}/artifacts/custom/foreign.bin"
    upload = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=key)["UploadId"]
    part = scene.s3.upload_part(
        Bucket=scene.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x"
    )
    scene.s3.complete_multipart_upload(
        Bucket=scene.bucket, Key=key, UploadId=upload,
        MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
    )  # fmt: skip
    scene.cli("finish", execution_id, "--result", "pass").ok()
    assert scene.record(execution_id)["artifacts"][0]["checksum"] is None
    result = scene.cli("verify", execution_id, "--json").expect(3)
    assert findings(result) == {"artifacts/custom/foreign.bin": "unverifiable"}


def test_a_running_execution_has_nothing_to_compare_with(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x"})
    result = scene.cli("verify", execution_id).ok()
    assert "warning: the execution is not finished" in result.err
    assert result.err.endswith(f"verified {execution_id}: 1 ok\n")


def test_a_manifest_that_was_tampered_with_is_exit_7(scene: Scene, execution: str) -> None:
    record = scene.record(execution)
    gone = record["artifacts"].pop()
    scene.put_execution(**record)
    scene.s3.delete_object(Bucket=scene.bucket, Key=f"executions/{execution}/{gone['path']}")
    result = scene.cli("verify", execution).expect(7)
    assert "differs: metadata.json: the manifest does not match its own digest" in result.err


@pytest.mark.parametrize("fault", [faults.access_denied, lambda: faults.Answer(410, "")])
@pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
def test_one_object_that_cannot_be_looked_at_is_one_finding(
    scene: Scene, execution: str, tree: Path, operation: str, fault: Callable[[], faults.Fault]
) -> None:
    scene.recorder.inject(fault(), operation, key="results.json$", times=None)
    options = ["--read"] if operation == "GetObject" else []
    result = scene.cli("verify", execution, "--json", *options).expect(3)
    usual = dict.fromkeys(STORED, "ok")
    assert findings(result) == usual | {"artifacts/results.json": "unreadable"}
    assert result.err.startswith("error: 1 unreadable\n")
    if not options:
        local = scene.cli("verify", execution, tree, "--json").expect(3)
        assert findings(local) == findings(result)


def test_what_could_not_be_looked_at_is_not_kept(scene: Scene, execution: str) -> None:
    """Its error would hold 4 MiB of an object that is read, and that for each of many."""
    scene.recorder.inject(faults.access_denied(), "GetObject", key="results.json$", times=None)
    store = open_store(scene.bucket)
    metadata = read_execution(store, execution).metadata
    (error,) = [one.error for one in verify_stored(store, metadata, read_back=True) if one.error]
    assert isinstance(error, AccessError)
    assert error.__traceback__ is None


def test_where_nothing_can_be_looked_at_the_exit_code_says_why(
    scene: Scene, execution: str
) -> None:
    scene.recorder.inject(faults.access_denied(), "HeadObject", times=None)
    assert "error: 4 unreadable\n" in scene.cli("verify", execution).expect(5).err


# --- against the totals and the digest of a manifest too long to keep -------------------------


@pytest.fixture
def long_execution(scene: Scene, execution: str) -> str:
    """The execution as it would be had its manifest been too long to keep."""
    record: dict[str, Any] = scene.record(execution) | {"artifacts": None}
    scene.put_execution(**record)
    return execution


def test_a_long_manifest_is_verified_by_its_digest(cli: RunCommand, long_execution: str) -> None:
    assert cli("verify", long_execution).ok().err == f"verified {long_execution}: 4 ok\n"


def test_a_digest_over_what_could_not_be_looked_at_is_not_compared(
    scene: Scene, long_execution: str
) -> None:
    scene.recorder.inject(faults.access_denied(), "HeadObject", key="results.json$", times=None)
    result = scene.cli("verify", long_execution).expect(3)
    assert "error: 1 unreadable\n" in result.err


@pytest.mark.parametrize("change", ["missing", "unlisted", "differs"])
def test_the_digest_of_a_long_manifest_finds_every_change(
    scene: Scene, long_execution: str, change: str
) -> None:
    if change == "missing":
        key = f"executions/{long_execution}/artifacts/results.json"
        scene.s3.delete_object(Bucket=scene.bucket, Key=key)
    else:
        name = "results.json" if change == "differs" else "custom/new"
        damage(scene, long_execution, f"artifacts/{name}", b"[]")
    result = scene.cli("verify", long_execution).expect(7 if change == "differs" else 3)
    counted = {"missing": 3, "unlisted": 5, "differs": 4}[change]
    assert (
        f"failed: {change}: metadata.json: {counted} files are stored, 4 in the manifest; "
        "its digest does not match\n" in result.err
    )


# --- against local files ---------------------------------------------------------------------


def test_local_files_that_are_stored_may_be_deleted(
    cli: RunCommand, execution: str, tree: Path
) -> None:
    # The same files, by the same places.
    assert "4 identical" in cli("upload", execution, tree).ok().err
    result = cli("verify", execution, tree, "--json").ok()
    assert set(findings(result).values()) == {"ok"}
    assert result.err == f"verified {execution}: 4 ok\n"
    environment = {"ORCHESTRATOR_EXECUTION_ID": execution}
    assert cli("verify", tree, env=environment).ok().err == result.err
    # What was not stored is not said to be.
    (tree / "elsewhere").symlink_to("/etc/hostname")
    (tree / ".hidden").write_text("x")
    told = cli("verify", execution, tree).ok().err
    assert f"verified {execution}: 4 ok, 2 skipped\n" in told
    assert "warning: skipped" in told


def test_local_files_that_differ_or_are_not_stored(
    cli: RunCommand, execution: str, tree: Path
) -> None:
    (tree / "new.txt").write_text("new")
    result = cli("verify", execution, tree).expect(3)
    assert "failed: missing: artifacts/custom/new.txt: " in result.err
    (tree / "results.json").write_text("[]")
    result = cli("verify", execution, tree).expect(7)
    assert "failed: differs: artifacts/results.json: " in result.err
    assert "error: 1 differs, 1 missing\n" in result.err


def test_what_cannot_be_stored_is_unreadable(cli: RunCommand, execution: str, tree: Path) -> None:
    (tree / "bad\x1b[31m").write_text("x")
    (tree / "link").symlink_to("/etc/hostname")
    result = cli("verify", execution, tree).expect(3)
    assert "failed: unreadable: " in result.err
    assert "bad\\x1b[31m" in result.err
    assert "\x1b" not in result.err


def test_a_local_file_may_be_called_anything(cli: RunCommand, execution: str, tree: Path) -> None:
    (tree / "not-utf8-\udcff").write_text("x")
    result = cli("verify", execution, tree, "--json").expect(3)
    assert [path for path, finding in findings(result).items() if finding != "ok"]


def test_a_directory_that_is_not_there_is_exit_3(scene: Scene, execution: str) -> None:
    result = scene.cli("verify", execution, scene.directory / "gone").expect(3)
    assert "no such file" in result.err


# --- what it costs ---------------------------------------------------------------------------


def test_checking_moves_no_content(scene: Scene, execution: str) -> None:
    scene.cli("verify", execution).ok()
    # metadata.json itself, and a look at each file.
    assert scene.recorder.operations() == {"GetObject": 1, "ListObjectsV2": 1, "HeadObject": 4}


# --- errors ----------------------------------------------------------------------------------


def test_a_missing_execution_is_exit_4_and_invalid_metadata_exit_7(
    scene: Scene, tree: Path
) -> None:
    missing = make_id()
    assert f"no such execution: {missing}" in scene.cli("verify", missing).expect(4).err
    assert f"no such execution: {missing}" in scene.cli("verify", missing, tree).expect(4).err
    put_metadata(scene.s3, scene.bucket, missing, b"{}")
    assert "is not valid" in scene.cli("verify", missing).expect(7).err


def test_reading_an_archived_file_needs_its_restore(scene: Scene) -> None:
    execution_id = scene.put_execution()
    scene.put_file(execution_id, "logs/stdout.log", b"x", StorageClass="DEEP_ARCHIVE")
    scene.cli("finish", execution_id, "--result", "pass").ok()
    scene.cli("verify", execution_id).ok()
    assert "archived" in scene.cli("verify", execution_id, "--read").expect(8).err


def test_arguments_that_do_not_go_together_are_exit_2(
    cli: RunCommand, execution: str, tree: Path
) -> None:
    assert "one DIR at a time" in cli("verify", execution, tree, tree).expect(2).err
    assert "missing argument 'ID'" in cli("verify").expect(2).err
