"""One key of many is refused for good: whatever stores it, all that is said of it is one truth.

Exit code, JSON lines, record and history agree; the other files are stored, and a later success
clears the mark.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.commands.running import Result, RunCommand
from tests.support.proxy import faults
from tests.support.proxy.faults import Fault
from tests.support.proxy.proxy import Proxy
from tests.support.proxy.verifying import VerifyDigests
from tests.support.stored.bench_tree import BenchTree
from tests.support.stored.executions import read_record
from tests.support.stored.objects import bucket_contents, list_keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The code that a file's own JSON line has.
HARMS: dict[str, tuple[Callable[[], Fault], int]] = {
    "403": (faults.access_denied, 5),
    "500": (faults.internal_error, 9),
    "dropped": (faults.ResetAfter, 9),
    "quota": (lambda: faults.Answer(403, "QuotaExceeded"), 9),
    "checksum": (lambda: faults.CorruptRequest(3), 7),
}
OTHERS = {"artifacts/custom/a.txt": b"a", "artifacts/custom/z.txt": b"z"}


@dataclass
class Stores:
    """A way to store files: how it is called, and which of them is refused."""

    path: str
    content: bytes
    arguments: Callable[[str, Path], tuple[Any, ...]]
    operations: tuple[str, ...] = ("PutObject",)
    is_stream: bool = False
    env: dict[str, str | None] | None = None
    on_prem: bool = False


@dataclass
class Place:
    """Where it is tried: a bucket behind a proxy, and a directory a time."""

    cli: RunCommand
    proxy: Proxy
    s3: S3Client
    bucket: str
    directory: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def begin(self, stores: Stores) -> tuple[str, Path]:
        """Make an execution and the files to store."""
        options = ("--runner-type", "onprem", "--bench-id", "b1") if stores.on_prem else ()
        execution = self.cli("new", *options).ok().out.strip()
        root = self.directory / str(next(self.numbers))
        files = BenchTree(root).directory(execution) / "raw" if stores.on_prem else root
        files.mkdir(parents=True)
        for path, data in (
            {} if stores.is_stream else OTHERS | {stores.path: stores.content}
        ).items():
            (files / Path(path).name).write_bytes(data)
        return execution, root

    def run(self, stores: Stores, execution: str, root: Path) -> Result:
        stdin = stores.content if stores.is_stream else b""
        arguments = stores.arguments(execution, root)
        return self.cli(*arguments, "--json", stdin=stdin, env=stores.env)

    def record_facts(self, execution: str) -> tuple[str, list[str]]:
        """Return what the record says."""
        record = read_record(self.s3, self.bucket, execution)
        return record["artifact_status"], [one["path"] for one in record["failures"]]

    def facts(self, execution: str) -> tuple[str, list[str]]:
        """Return what the record says, once it is seen that the history says the same."""
        status, failing = self.record_facts(execution)
        for key in list_keys(self.s3, self.bucket, "history/"):
            if execution not in key:
                continue
            told = json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            assert told["artifact_status"] == status
            assert told["failure_count"] == len(failing)
        return status, failing

    def stored(self, execution: str) -> dict[str, bytes]:
        prefix = f"executions/{execution}/"
        found = bucket_contents(self.s3, self.bucket, prefix)
        files = {key.removeprefix(prefix): data for key, data in found.items()}
        return {path: data for path, data in files.items() if path != "metadata.json"}


def check_truth(place: Place, stores: Stores, operation: str, harm: str) -> None:
    """Refuse one key, look at all that is said of it, and let it be stored."""
    fault, code = HARMS[harm]
    execution, root = place.begin(stores)
    place.proxy.inject(fault(), operation, key=f"{stores.path}$", times=None)
    place.proxy.inject(VerifyDigests(), times=None)
    what = f"{harm} at {operation}"
    result = place.run(stores, execution, root)
    others = {} if stores.is_stream else OTHERS
    # Damaged bytes are told by the code of the whole, too.
    is_told = stores.is_stream or (code == 7 and not stores.on_prem)
    assert result.exit_code == (code if is_told else 3), f"{what}: {result.err}"
    lines = {one["path"]: one for one in result.json_lines() if "outcome" in one}
    assert lines[stores.path]["outcome"] == "failed", what
    assert lines[stores.path]["exit_code"] == code, what
    if operation == "CompleteMultipartUpload" and not stores.on_prem:
        line = lines[stores.path]
        assert line["sent_bytes"] + line["resumed_bytes"] == len(stores.content), what
    assert {path: lines[path]["outcome"] for path in others} == dict.fromkeys(others, "created")
    assert place.stored(execution) == others, what
    assert place.facts(execution) == ("artifact_error", [stores.path]), what
    place.cli("finish", execution, "--result", "pass").ok()
    assert place.facts(execution) == ("artifact_error", [stores.path]), what
    place.proxy.heal()
    again = place.run(stores, execution, root)
    assert again.exit_code == 0, f"after {what}: {again.err}"
    assert place.facts(execution) == ("complete", []), what
    assert place.stored(execution) == others | {stores.path: stores.content}, what


def check_all(place: Place, stores: Stores) -> None:
    """Try every harm at every operation, and at the completion of a file of parts."""
    for operation in stores.operations:
        for harm in HARMS:
            check_truth(place, stores, operation, harm)
    if "UploadPart" in stores.operations:
        check_truth(place, stores, "CompleteMultipartUpload", "403")


SMALL = ("artifacts/custom/m.txt", b"refused at first")
PARTS = ("UploadPart",)


def upload(execution: str, root: Path) -> tuple[Any, ...]:
    return "upload", execution, root
