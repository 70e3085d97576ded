"""S3 Inventory: CSV and Parquet, in a bucket and on disk, and what is wrong with one."""

from __future__ import annotations

import builtins
import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import duckdb
import pytest

from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id
from tests.support.stored.objects import make_bucket, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
FIRST, SECOND = make_id(NOON, 1), make_id(NOON, 2)
FIELDS = {
    "Bucket": ("bucket", "VARCHAR"),
    "Key": ("key", "VARCHAR"),
    "VersionId": ("version_id", "VARCHAR"),
    "IsLatest": ("is_latest", "BOOLEAN"),
    "IsDeleteMarker": ("is_delete_marker", "BOOLEAN"),
    "Size": ("size", "BIGINT"),
    "LastModifiedDate": ("last_modified_date", "TIMESTAMP"),
    "ETag": ("e_tag", "VARCHAR"),
    "StorageClass": ("storage_class", "VARCHAR"),
}
Row = tuple[Any, ...]
PARTS = "0f" * 16 + "-640"


def row(
    key: str,
    size: int | None,
    storage_class: str | None = "STANDARD",
    latest: bool = True,
    marker: bool = False,
    etag: str = "0f" * 16,
) -> Row:
    when = "2026-01-15T12:00:00.000Z"
    return ("stored", key, "v", latest, marker, size, when, etag, storage_class)


# What the inventory below lists, and what it amounts to.
ROWS = [
    row(f"executions/{FIRST}/artifacts/custom/a b+ü%.txt", 1024),
    row(
        f"executions/{SECOND}/logs/stdout.log", 5 * 1024**3, "DEEP_ARCHIVE", etag="0f" * 16 + "-640"
    ),
    row(f"executions/{FIRST}/metadata.json", 300, latest=False),
    row(f"executions/{FIRST}/artifacts/custom/gone", None, None, marker=True),
    row("history/date=2026-01-15/x.json", 10),
    row(f"live/{SECOND}/logs/stdout.log/{0:020d}", 0),
    row(f"executions/{FIRST}/metadata.json", 400),
]


def write_csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for bucket, key, *rest in rows:
        cells = ["" if one is None else str(one) for one in rest]
        cells = [one.lower() if one in ("True", "False") else one for one in cells]
        writer.writerow([bucket, quote_plus(key, safe="/"), *cells])
    return gzip.compress(text.getvalue().encode())


def write_parquet(rows: Sequence[Row], path: Path) -> bytes:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in FIELDS.values())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(FIELDS))})", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def parquet_schema() -> str:
    fields = "".join(f"  required binary {name} (UTF8);\n" for name, _ in FIELDS.values())
    return f"message s3.inventory {{\n{fields}}}"


def make_manifest(files: dict[str, bytes], file_format: str, /, **changes: Any) -> bytes:
    schema = ", ".join(FIELDS) if file_format == "CSV" else parquet_schema()
    record = {
        "sourceBucket": "stored",
        "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30",
        "creationTimestamp": "1769904000000",
        "fileFormat": file_format,
        "fileSchema": schema,
        "files": [
            {
                "key": key,
                "size": len(data),
                "MD5checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            }
            for key, data in files.items()
        ],
    }
    return json.dumps(record | changes).encode()


def make_files(file_format: str, tmp_path: Path) -> dict[str, bytes]:
    halves = (ROWS[:3], ROWS[3:])
    if file_format == "CSV":
        return {f"stored/daily/data/{n}.csv.gz": write_csv(half) for n, half in enumerate(halves)}
    return {
        f"stored/daily/data/{n}.parquet": write_parquet(half, tmp_path / f"{n}.parquet")
        for n, half in enumerate(halves)
    }


def put_on_disk(root: Path, files: dict[str, bytes], manifest: bytes) -> Path:
    for key, data in files.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    path = root / "stored/daily/2026-02-01T00-00Z/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest)
    return path


@pytest.fixture(params=["CSV", "Parquet"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An inventory on disk, laid out as in its bucket."""
    files = make_files(request.param, tmp_path)
    return put_on_disk(tmp_path / "inv", files, make_manifest(files, request.param))


def check(records: list[Any]) -> None:
    first, second, total = records
    assert [one["group"] for one in records] == [FIRST, SECOND, None]
    # Two current objects and a noncurrent version; no delete marker.
    assert (first["objects"], first["size_bytes"]) == (3, 1024 + 300 + 400)
    # One, and the end of its live log.
    assert (second["objects"], second["size_bytes"]) == (2, 5 * 1024**3)
    # The hand-made sum of one object of 5 GiB: see test_billing.py.
    assert second["dollars_per_month"] == 0.004950206
    # 642 × 0.005 / 1,000: the parts follow from the ETag.
    assert second["request_dollars"] == 0.003215
    assert total["inventory_created_at"] == "2026-02-01T00:00:00Z"
    assert total["rules"] == "default"


# --- on disk ---------------------------------------------------------------------------------


def test_an_inventory_on_disk_needs_no_bucket_and_no_network(
    cli: RunCommand, manifest: Path
) -> None:
    result = cli("cost", "--json", "--inventory", manifest).ok()
    check(result.json_lines())
    assert "inventory of 2026-02-01 00:00Z" in result.err
    assert "unfinished uploads are not counted: no bucket was named" in result.err


def test_its_lists_may_lie_beside_the_manifest(cli: RunCommand, tmp_path: Path) -> None:
    files = make_files("CSV", tmp_path)
    for key, data in files.items():
        (tmp_path / key.rpartition("/")[2]).write_bytes(data)
    (tmp_path / "manifest.json").write_bytes(make_manifest(files, "CSV"))
    check(cli("cost", "--json", "--inventory", tmp_path / "manifest.json").ok().json_lines())


def test_a_window_and_ids_choose_from_it(cli: RunCommand, manifest: Path) -> None:
    options = ("cost", "--json", "--inventory", manifest)
    *groups, _ = cli(*options, SECOND).ok().json_lines()
    assert [one["group"] for one in groups] == [SECOND]
    (total,) = cli(*options, "--since", "2026-01-16").ok().json_lines()
    assert total["executions"] == 0
    *groups, _ = cli(*options, "--until", "2026-01-16").ok().json_lines()
    assert len(groups) == 2
    missing = make_id(NOON, 3)
    assert "no such execution in the inventory" in cli(*options, missing).expect(4).err


def test_an_inventory_is_added_up_by_class(cli: RunCommand, manifest: Path) -> None:
    *groups, total = (
        cli("cost", "--json", "--by", "class", "--inventory", manifest).ok().json_lines()
    )
    assert [(one["group"], one["objects"]) for one in groups] == [
        ("DEEP_ARCHIVE", 1),
        ("STANDARD", 4),
    ]
    assert total["executions"] == 2


def test_suites_need_the_bucket(cli: RunCommand, manifest: Path) -> None:
    result = cli("cost", "--by", "suite", "--inventory", manifest).expect(2)
    assert "no bucket is configured" in result.err


# --- in a bucket -----------------------------------------------------------------------------


@pytest.fixture
def inventories(s3: S3Client) -> Iterator[str]:
    """The destination bucket."""
    bucket = make_bucket(s3)
    yield bucket
    remove_bucket(s3, bucket)


@pytest.mark.parametrize("file_format", ["CSV", "Parquet"])
def test_an_inventory_in_a_bucket_of_its_own_is_read(
    scene: Scene, inventories: str, file_format: str
) -> None:
    files = make_files(file_format, scene.directory)
    for key, data in files.items():
        scene.s3.put_object(Bucket=inventories, Key=key, Body=data)
    content = make_manifest(files, file_format, sourceBucket=scene.bucket)
    scene.s3.put_object(Bucket=inventories, Key="stored/manifest.json", Body=content)
    upload = {"Bucket": scene.bucket, "Key": f"executions/{FIRST}/artifacts/custom/big"}
    scene.s3.create_multipart_upload(**upload)  # type: ignore[arg-type]
    scene.put_execution(FIRST, test_suite="smoke")
    scene.put_execution(SECOND, test_suite="smoke")
    url = f"s3://{inventories}/stored/manifest.json"
    scene.recorder.clear()
    result = scene.cli("cost", "--json", "--inventory", url).ok()
    check(result.json_lines())
    assert result.json_lines()[0]["unfinished_uploads"] == 1
    assert scene.recorder.count("ListObjectsV2") == 0
    *groups, _ = scene.cli("cost", "--json", "--by", "suite", "--inventory", url).ok().json_lines()
    assert [(one["group"], one["executions"]) for one in groups] == [("smoke", 2)]


def test_an_inventory_of_another_bucket_is_refused(scene: Scene, manifest: Path) -> None:
    result = scene.cli("cost", "--inventory", manifest).expect(2)
    assert f"the inventory is of s3://stored, not of s3://{scene.bucket}" in result.err


# --- what is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"fileFormat": "ORC"}, 2, "an inventory in ORC cannot be read"),
        ({"fileSchema": "Bucket, Key, Size"}, 2, "has no LastModifiedDate, StorageClass"),
        ({"files": "none"}, 2, "not the manifest of an S3 Inventory"),
        ({"creationTimestamp": "yesterday"}, 2, "not the manifest of an S3 Inventory"),
        ({"files": [{"key": "gone.csv.gz"}]}, 4, "gone.csv.gz"),
        ({"files": [{"key": "../../secret"}]}, 2, "unsafe path"),
        ({"files": [{"key": "/etc/passwd"}]}, 2, "unsafe path"),
        ({"fileSchema": ", ".join([*FIELDS, "More"])}, 7, "is not as its manifest says"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(
    cli: RunCommand, tmp_path: Path, changes: dict[str, Any], code: int, said: str
) -> None:
    files = make_files("CSV", tmp_path)
    path = put_on_disk(tmp_path / "inv", files, make_manifest(files, "CSV", **changes))
    result = cli("cost", "--inventory", path).expect(code)
    assert said in result.err


def test_a_list_that_was_changed_is_not_believed(cli: RunCommand, tmp_path: Path) -> None:
    files = make_files("CSV", tmp_path)
    content = make_manifest(files, "CSV")
    files["stored/daily/data/1.csv.gz"] = write_csv(ROWS[:1])
    path = put_on_disk(tmp_path / "inv", files, content)
    assert "1.csv.gz does not match its MD5" in cli("cost", "--inventory", path).expect(7).err


@pytest.mark.parametrize("file_format", ["CSV", "Parquet"])
def test_a_list_of_another_format_than_its_manifest_says_is_exit_7(
    cli: RunCommand, tmp_path: Path, file_format: str
) -> None:
    files = {"stored/x": b"<html>"}
    path = put_on_disk(tmp_path / "inv", files, make_manifest(files, file_format))
    assert "is not as its manifest says" in cli("cost", "--inventory", path).expect(7).err


def test_a_manifest_that_is_not_there_is_exit_4(cli: RunCommand, tmp_path: Path) -> None:
    assert "no-such" in cli("cost", "--inventory", tmp_path / "no-such").expect(4).err


def test_a_manifest_that_never_ends_is_refused(cli: RunCommand, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    for path in ("/dev/zero", tmp_path / "fifo"):
        assert "not a regular file" in cli("cost", "--inventory", path).expect(4).err
    assert "too large" in cli("cost", "--inventory", tmp_path / "huge").expect(2).err


def test_without_duckdb_parquet_is_refused_and_csv_is_read(
    cli: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {}
    for file_format in ("CSV", "Parquet"):
        files = make_files(file_format, tmp_path)
        content = make_manifest(files, file_format)
        paths[file_format] = put_on_disk(tmp_path / file_format, files, content)
    load = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "duckdb":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    check(cli("cost", "--json", "--inventory", paths["CSV"]).ok().json_lines())
    result = cli("cost", "--inventory", paths["Parquet"]).expect(2)
    assert "needs DuckDB" in result.err
    assert "pip install 'orchestrator-cli[inventory]'" in result.err
