"""The scene of a test: a bucket behind a recording proxy, the command, and a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.commands.running import RunCommand
from tests.support.proxy.proxy import Proxy
from tests.support.stored.executions import (
    put_execution,
    put_file,
    put_finished_execution,
    read_record,
)
from tests.support.stored.objects import bucket_contents, list_keys, unfinished_uploads

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass
class Scene:
    """What a test of a command needs; all that goes to S3 by `cli` passes `recorder`.

    What is put and looked at by the methods goes straight to the server, and is not recorded.
    """

    cli: RunCommand
    recorder: Proxy
    s3: S3Client
    bucket: str
    directory: Path

    def new_execution(self, *options: str) -> str:
        """Make an execution with the command and return its id."""
        return self.cli("new", *options).ok().out.strip()

    def put_execution(
        self, execution_id: str = "", files: Mapping[str, bytes] | None = None, **fields: Any
    ) -> str:
        """Put an execution with its files into the bucket and return its id."""
        return put_execution(self.s3, self.bucket, execution_id, files, **fields)

    def put_finished_execution(self, files: Mapping[str, bytes]) -> str:
        """Put a finished execution with its files into the bucket and return its id."""
        return put_finished_execution(self.s3, self.bucket, files)

    def put_file(self, execution_id: str, path: str, data: bytes, **options: str) -> str:
        """Put a file into the bucket as the project does and return its key."""
        return put_file(self.s3, self.bucket, execution_id, path, data, **options)

    def record(self, execution_id: str) -> dict[str, Any]:
        """Return what metadata.json holds."""
        return read_record(self.s3, self.bucket, execution_id)

    def files(self, execution_id: str) -> dict[str, bytes]:
        """Return the execution's files by their path, without metadata.json."""
        prefix = f"executions/{execution_id}/"
        found = self.contents(prefix)
        found.pop(f"{prefix}metadata.json", None)
        return {key.removeprefix(prefix): data for key, data in found.items()}

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """Return every object's bytes by its key."""
        return bucket_contents(self.s3, self.bucket, prefix)

    def list_keys(self, prefix: str = "") -> list[str]:
        """Return the keys in S3's order."""
        return list_keys(self.s3, self.bucket, prefix)

    def unfinished_uploads(self) -> dict[str, str]:
        """Return the key of every unfinished multipart upload by its upload id."""
        return unfinished_uploads(self.s3, self.bucket)

    def write_tree(self, files: Mapping[str, bytes | str], root: str = "tree") -> Path:
        """Write files below `directory`/`root` from a mapping of path to content."""
        return write_tree(self.directory / root, files)


def write_tree(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files below a directory, which is made, from a mapping of path to content."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
