"""One key of many is refused for good, at each way to store files."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import RunCommand
from tests.support.lasting_failures import PARTS, SMALL, Place, Stores, check_all, upload
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.stored.bench_tree import BenchTree
from tests.support.stored.engine import impatient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def place(
    cli: RunCommand,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    impatient(monkeypatch)
    return Place(cli, recorder, s3, bucket, tmp_path)


LARGE = ("artifacts/custom/m.bin", b"refused" * 30_000)


def stream(execution: str, root: Path) -> tuple[Any, ...]:
    return "upload", execution, "-", "--name", "stdout.log"


def sync(execution: str, root: Path) -> tuple[Any, ...]:
    return *BenchTree(root).arguments, "--keep"


@pytest.mark.parametrize(
    "stores",
    [
        Stores(*SMALL, upload),
        Stores(*LARGE, upload, PARTS),
        Stores("logs/stdout.log", LARGE[1], stream, PARTS, is_stream=True),
        Stores("logs/stdout.log", b"short", stream, is_stream=True),
        Stores(*SMALL, sync, on_prem=True),
        Stores(*LARGE, sync, PARTS, on_prem=True),
    ],
    ids=["small", "large", "stream", "short-stream", "sync-small", "sync-large"],
)
def test_all_that_is_said_of_a_refused_file_is_true(place: Place, stores: Stores) -> None:
    check_all(place, stores)


def test_a_watch_says_the_same_pass_after_pass(place: Place, forks: ForkServer) -> None:
    """Once for a failure that may pass and once for one that does not, until it is put right."""
    for number, fault in enumerate((faults.access_denied, faults.internal_error)):
        stores = Stores(*SMALL, sync, on_prem=True)
        execution, root = place.begin(stores)
        place.proxy.inject(fault(), "PutObject", key=f"{stores.path}$", times=None)
        watch = forks.start(*sync(execution, root), "--watch", "--interval", "20ms", "--json")
        wait_for_facts(place, execution, ("artifact_error", [stores.path]))
        place.cli("finish", execution, "--result", "pass").ok()
        assert place.facts(execution) == ("artifact_error", [stores.path]), number
        place.proxy.heal()
        wait_for_facts(place, execution, ("complete", []))
        watch.signal(signal.SIGTERM)
        assert watch.wait().exit_code == 0


def wait_for_facts(place: Place, execution: str, facts: tuple[str, list[str]]) -> None:
    deadline = time.monotonic() + 60
    # While the record is replaced, the history may be a moment behind.
    while place.record_facts(execution) != facts:
        assert time.monotonic() < deadline, f"it is never {facts}"
        time.sleep(0.02)
