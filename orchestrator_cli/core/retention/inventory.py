"""Read an S3 Inventory: its manifest, and its lists in CSV or Parquet, instead of listing.

Format: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
CSV needs nothing but Python; Parquet needs DuckDB, the extra `inventory`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_plus

from orchestrator_cli.core.base.errors import IntegrityError, NotFoundError, UsageError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.tree import NamedFile
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectSummary

_READ_BYTES = 8 * 1024 * 1024
# A file of the inventory has a line of a hundred bytes there.
_MOST_MANIFEST_BYTES = 64 * 1024 * 1024
_ROWS_AT_ONCE = 10_000
_NEEDED = ("Key", "Size", "LastModifiedDate", "StorageClass")
_WANTED = (*_NEEDED, "ETag", "IsLatest", "IsDeleteMarker")
# Parquet has the same fields in snake case: `e_tag`.
_PARQUET_NAMES = {name: re.sub(r"\B(?=[A-Z])", "_", name).lower() for name in _WANTED}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """One list of an inventory; `md5` is hex."""

    key: str
    md5: str | None


@dataclass(frozen=True, slots=True)
class InventoryManifest:
    """What an inventory is of, when it was begun, and where its lists are."""

    source_bucket: str
    created_at: datetime
    file_format: str
    columns: tuple[str, ...]
    files: tuple[InventoryFile, ...]


class BucketInventory:
    """An inventory in its destination bucket."""

    def __init__(self, store: ArtifactStore, manifest_key: str) -> None:
        self._store = store
        self._manifest_key = manifest_key

    def read_manifest(self) -> bytes:
        """Return the manifest. Raises NotFoundError."""
        return self._store.get(self._manifest_key, _MOST_MANIFEST_BYTES).content

    def read_file(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of a list in pieces. Raises NotFoundError."""
        size_bytes = self._store.head_fast(key).size_bytes
        for offset in range(0, size_bytes, _READ_BYTES):
            wanted = min(_READ_BYTES, size_bytes - offset)
            yield bytes(self._store.get_range(key, offset, wanted, object_bytes=size_bytes))


class LocalInventory:
    """A copy of an inventory on disk: the lists below any directory above the manifest, or by it.

    That is: as the bucket has them, or all in the manifest's directory.
    """

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest

    def read_manifest(self) -> bytes:
        """Return the manifest. Raises NotFoundError."""
        with self._opened(self._manifest) as file:
            content = file.read(_MOST_MANIFEST_BYTES + 1)
        if len(content) > _MOST_MANIFEST_BYTES:
            raise UsageError(f"{printable(self._manifest)} is too large for a manifest")
        return content

    def read_file(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of a list in pieces. Raises NotFoundError."""
        name = key.rpartition("/")[2]
        above = self._manifest.absolute().parents
        if ".." in key.split("/") or key.startswith("/"):
            raise UsageError(f"the inventory's manifest names an unsafe path: {printable(key)}")
        candidates = [above[0] / name, above[0] / "data" / name, *(one / key for one in above)]
        found = next((one for one in candidates if one.is_file()), candidates[0])
        with self._opened(found) as file:
            while piece := file.read(_READ_BYTES):
                yield piece

    @staticmethod
    def _opened(path: Path) -> io.FileIO:
        try:
            return NamedFile(path).open()
        except OSError as error:
            raise NotFoundError(
                f"cannot read the inventory's {printable(path)}: {error.strerror}"
            ) from error


InventoryLocation = BucketInventory | LocalInventory
# An object, and whether that is its latest version; others are paid for but in no listing.
InventoryObject = tuple[ObjectSummary, bool]


def parse_manifest(content: bytes) -> InventoryManifest:
    """Read manifest.json. Raises UsageError where a column is missing that costs depend on."""
    try:
        record = parse_json(content)
        file_format = str(record["fileFormat"])
        created_at = datetime.fromtimestamp(int(record["creationTimestamp"]) / 1000, UTC)
        files = tuple(InventoryFile(one["key"], one.get("MD5checksum")) for one in record["files"])
        schema = str(record["fileSchema"])
        bucket = str(record["sourceBucket"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise UsageError(
            "this is not the manifest of an S3 Inventory", hint="name its manifest.json"
        ) from error
    if file_format not in ("CSV", "Parquet"):
        raise UsageError(
            f"an inventory in {printable(file_format)} cannot be read",
            hint="configure the inventory's format as CSV or Parquet",
        )
    columns = tuple(name.strip() for name in schema.split(","))
    if file_format == "Parquet":
        columns = tuple(name for name, own in _PARQUET_NAMES.items() if f" {own} " in f"{schema} ")
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise UsageError(
            f"the inventory has no {', '.join(missing)}",
            hint="add these optional fields to the inventory's configuration",
        )
    return InventoryManifest(bucket, created_at, file_format, columns, files)


def read_inventory(
    place: InventoryLocation, manifest: InventoryManifest
) -> Iterator[InventoryObject]:
    """Yield every object and noncurrent version, no delete markers, in the order of the lists.

    One list at a time is on disk, checked against its MD5. Raises IntegrityError, NotFoundError,
    and UsageError where DuckDB is needed and missing.
    """
    read = _read_csv if manifest.file_format == "CSV" else _read_parquet
    for file in manifest.files:
        with _fetched(place, file) as path:
            try:
                for row in read(path, manifest.columns):
                    if not _truth(row.get("IsDeleteMarker"), default=False):
                        yield _object(row)
            except (
                ValueError,
                KeyError,
                TypeError,
                EOFError,
                gzip.BadGzipFile,
                csv.Error,
            ) as error:
                raise IntegrityError(
                    f"the inventory's {printable(file.key)} is not as its manifest says"
                ) from error


@contextmanager
def _fetched(place: InventoryLocation, file: InventoryFile) -> Iterator[Path]:
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.TemporaryDirectory(prefix="inventory-") as directory:
        path = Path(directory) / "list"
        with path.open("wb") as copy:
            for piece in place.read_file(file.key):
                digest.update(piece)
                copy.write(piece)
        if file.md5 is not None and digest.hexdigest() != file.md5.lower():
            raise IntegrityError(f"the inventory's {printable(file.key)} does not match its MD5")
        yield path


def _read_csv(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    with gzip.open(path, "rb") as file:
        for cells in csv.reader(io.TextIOWrapper(cast("Any", file), "utf-8", newline="")):
            row = dict(zip(columns, cells, strict=True))
            # Of CSV alone, keys are encoded as in a URL.
            yield row | {"Key": unquote_plus(row["Key"])}


def _read_parquet(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        import duckdb
    except ImportError as error:
        raise UsageError(
            "reading an inventory in Parquet needs DuckDB",
            hint="pip install 'orchestrator-cli[inventory]', or configure the inventory as CSV",
        ) from error
    # No extension is ever fetched; Parquet is built in.
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    names = [name for name in _WANTED if name in columns]
    wanted = ", ".join(f'"{_PARQUET_NAMES[name]}"' for name in names)
    try:
        with duckdb.connect(config=config) as connection:
            connection.execute(f"SELECT {wanted} FROM read_parquet(?)", [str(path)])  # noqa: S608
            while rows := connection.fetchmany(_ROWS_AT_ONCE):
                yield from (dict(zip(names, row, strict=True)) for row in rows)
    except duckdb.Error as error:
        raise ValueError(str(error)) from error


def _object(row: Row) -> InventoryObject:
    listed = ObjectSummary(
        key=row["Key"],
        size_bytes=int(row["Size"] or 0),
        etag=str(row.get("ETag") or "").strip('"'),
        last_modified=_instant(row["LastModifiedDate"]),
        storage_class=str(row["StorageClass"] or "STANDARD"),
    )
    return listed, _truth(row.get("IsLatest"), default=True)


def _instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _truth(value: Any, default: bool) -> bool:
    return default if value in (None, "") else str(value).lower() == "true"
