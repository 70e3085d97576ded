"""Files in an archive class: a clear error with its own exit code, until they are restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

from tests.localstack.contents import PART, noise
from tests.support.commands.running import RunCommand
from tests.support.scene import Scene

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack

LOG = b"a line\n" * 500
TRACE = noise(PART + 1)


class ArchiveInspector:
    """Moves the execution's files between the storage classes, as S3's rules do."""

    def __init__(self, s3: S3Client, bucket: str, execution_id: str) -> None:
        self.s3 = s3
        self.bucket = bucket
        self.prefix = f"executions/{execution_id}/"

    def archive(self, path: str) -> None:
        key = self.prefix + path
        self.s3.copy_object(
            Bucket=self.bucket,
            Key=key,
            CopySource={"Bucket": self.bucket, "Key": key},
            StorageClass="DEEP_ARCHIVE",
            MetadataDirective="COPY",
        )

    def restore(self, path: str) -> None:
        self.s3.restore_object(
            Bucket=self.bucket, Key=self.prefix + path, RestoreRequest={"Days": 1}
        )


@pytest.fixture
def stored(scene: Scene, execution_id: str) -> str:
    """An execution with a log and two files."""
    tree = scene.write_tree({"stdout.log": LOG, "a.bin": b"a", "traces/t.pcap": TRACE})
    scene.cli("upload", execution_id, tree).ok()
    return execution_id


@pytest.fixture
def archive(scene: Scene, stored: str) -> ArchiveInspector:
    return ArchiveInspector(scene.s3, scene.bucket, stored)


READERS = {
    "logs": ("logs", "ID", "stdout"),
    "tail": ("logs", "ID", "stdout", "--tail", "3"),
    "grep": ("logs", "ID", "stdout", "--grep", "line"),
    "url": ("url", "ID", "stdout"),
    "download": ("download", "ID", "logs/", "-o", "out"),
}


@pytest.mark.parametrize("reader", READERS)
def test_an_archived_log_is_exit_8_and_reads_again_once_restored(
    cli: RunCommand, stored: str, archive: ArchiveInspector, reader: str
) -> None:
    command = [stored if word == "ID" else word for word in READERS[reader]]
    archive.archive("logs/stdout.log")
    refused = cli(*command).expect(8)
    assert refused.out == ""
    assert "archived" in refused.err
    assert "restore" in refused.err
    assert len(refused.err.splitlines()) <= 3
    archive.restore("logs/stdout.log")
    cli(*command).ok()


def test_a_restored_log_has_its_bytes(
    cli: RunCommand, stored: str, archive: ArchiveInspector
) -> None:
    archive.archive("logs/stdout.log")
    archive.restore("logs/stdout.log")
    assert cli("logs", stored).ok().stdout == LOG
    url = cli("url", stored, "stdout").ok().out.strip()
    assert urllib3.request("GET", url, retries=False).data == LOG
    assert cli("verify", stored, "--read").ok()


def test_the_restore_command_makes_it_readable(
    cli: RunCommand, stored: str, archive: ArchiveInspector
) -> None:
    archive.archive("logs/stdout.log")
    cli("restore", stored, "--yes").ok()
    assert cli("logs", stored).ok().stdout == LOG


def test_what_is_not_archived_is_still_downloaded(
    cli: RunCommand, stored: str, archive: ArchiveInspector
) -> None:
    archive.archive("artifacts/traces/t.pcap")
    cli("download", stored, "-o", "out").expect(8)
    assert Path("out/logs/stdout.log").read_bytes() == LOG
    assert Path("out/artifacts/custom/a.bin").read_bytes() == b"a"
    assert not Path("out/artifacts/traces/t.pcap").exists()
    archive.restore("artifacts/traces/t.pcap")
    cli("download", stored, "-o", "out").ok()
    assert Path("out/artifacts/traces/t.pcap").read_bytes() == TRACE


def test_an_archived_file_is_compared_without_being_read(
    cli: RunCommand, stored: str, archive: ArchiveInspector, tmp_path: Path
) -> None:
    """Its head has the checksum, so the same upload again needs no restore."""
    archive.archive("logs/stdout.log")
    [result] = cli("upload", stored, tmp_path / "tree/stdout.log", "--json").ok().json_lines()
    assert result["outcome"] == "identical"
    (tmp_path / "tree/stdout.log").write_bytes(LOG[:-2] + b"?\n")
    cli("upload", stored, tmp_path / "tree/stdout.log").expect(6)
    cli("verify", stored).ok()
