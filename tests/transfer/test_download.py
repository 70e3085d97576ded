"""Downloading: verified before a file gets its name, resumable, and never outside or over."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.executions.listings.selection import select_files
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.download.destination import DownloadDirectory
from orchestrator_cli.core.transfer.download.downloader import (
    Downloader,
    DownloadResult,
    DownloadSummary,
)
from orchestrator_cli.core.transfer.engine import TransferEngine
from tests.files.flipping import exchange, flipping
from tests.support import faults
from tests.support.engine import (
    EXECUTION_ID,
    MIB,
    PART,
    FromByte,
    content,
    impatient,
    key_of,
    new_execution,
    open_store,
)
from tests.support.executions import put_keys
from tests.support.faults import Fault
from tests.support.forkserver import ForkServer
from tests.support.proxy import Proxy
from tests.support.running import NewUpload, Processes, Result, RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TEXT = "text/plain; charset=utf-8"
DATA = content(200_000)
# Larger than what is fetched in one request.
MEDIUM = content(2 * MIB)
BIG = content(PART + 5 * MIB)
FIELDS = {
    "path",
    "destination",
    "size_bytes",
    "outcome",
    "resumed_bytes",
    "error",
    "exit_code",
}


def store_files(bucket: str, files: dict[str, bytes]) -> None:
    store = open_store(bucket)
    for name, data in files.items():
        store.put_if_absent(key_of(name), data, TEXT)


def download(
    bucket: str, target: Path, overwrite: bool = False
) -> tuple[DownloadSummary, dict[str, DownloadResult]]:
    """Download the execution with the library; return the summary and the results by name."""
    store = open_store(bucket)
    results: list[DownloadResult] = []
    with TransferEngine(store.connection, 4) as engine:
        files = select_files(store, EXECUTION_ID, [])
        place = DownloadDirectory(target)
        summary = Downloader(engine, store, place, results.append, overwrite).run(files)
    return summary, {Path(result.path).name: result for result in results}


def leftovers(target: Path) -> list[str]:
    """Return the names of files that a download keeps for itself."""
    return [path.name for path in target.rglob(".orchestrator-*")]


def exit_code(summary: DownloadSummary) -> int:
    error = summary.error()
    return error.exit_code if error else 0


def files_below(target: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


# --- the plain case ----------------------------------------------------------------------


def test_an_execution_makes_the_round_trip(
    cli: RunCommand, recorder: Proxy, make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    files = {f"d{number % 5}/{number:03}.txt": content(number * 10, number) for number in range(80)}
    files |= {"empty": b"", "part.bin": content(PART), "big.bin": BIG, "stdout.log": b"log\n"}
    execution = new_execution(cli)
    cli("upload", execution, make_tree(files)).ok()
    recorder.clear()
    target = tmp_path / "out"
    result = cli("download", execution, "-o", target, "--json").ok()
    found = files_below(target)
    assert found.pop("logs/stdout.log") == b"log\n"
    del files["stdout.log"]
    assert found == {f"artifacts/custom/{name}": data for name, data in files.items()}
    assert leftovers(target) == []
    # Every byte once.
    assert recorder.response_bytes("GetObject") == sum(map(len, files.values())) + len(b"log\n")
    lines = {Path(line["path"]).name: line for line in result.json_lines()}
    assert len(lines) == 84
    assert lines["big.bin"].keys() == FIELDS
    assert lines["big.bin"] == {
        "path": "artifacts/custom/big.bin",
        "destination": f"{target}/artifacts/custom/big.bin",
        "size_bytes": len(BIG),
        "outcome": "created",
        "resumed_bytes": 0,
        "error": None,
        "exit_code": 0,
    }


@pytest.mark.parametrize("nameless", [True, False])
def test_small_files_are_whole_or_not_there(
    nameless: bool, recorder: Proxy, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one request, whether the system has files without a name or not."""
    store_files(bucket, {"a.txt": DATA, "empty": b""})
    if not nameless:
        monkeypatch.setattr("orchestrator_cli.core.files.new_file._NAMELESS", None)
    recorder.clear()
    summary, _ = download(bucket, tmp_path)
    assert exit_code(summary) == 0
    assert files_below(tmp_path) == {"artifacts/custom/a.txt": DATA, "artifacts/custom/empty": b""}
    assert recorder.count("GetObject") == 2
    assert recorder.count("HeadObject") == 0
    assert leftovers(tmp_path) == []
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "artifacts/custom").iterdir()}
    (tmp_path / "own").touch()
    assert modes == {(tmp_path / "own").stat().st_mode & 0o777}


def test_files_get_the_mode_that_the_user_gives_to_files(bucket: str, tmp_path: Path) -> None:
    store_files(bucket, {"a.txt": DATA})
    before = os.umask(0o027)
    try:
        download(bucket, tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out/artifacts/custom/a.txt").stat().st_mode & 0o777 == 0o640


def test_the_same_file_is_left_alone(recorder: Proxy, bucket: str, tmp_path: Path) -> None:
    store_files(bucket, {"a.txt": DATA})
    target = tmp_path / "out"
    download(bucket, target)
    file = target / "artifacts/custom/a.txt"
    os.utime(file, ns=(1, 1))
    before = file.stat()
    recorder.clear()
    for overwrite in (False, True):
        _, results = download(bucket, target, overwrite)
        assert results["a.txt"].outcome is PutOutcome.IDENTICAL
        after = file.stat()
        assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert recorder.response_bytes("GetObject") == 0


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"x", b"x" * len(DATA)])
def test_a_file_that_differs_is_not_touched(
    data: bytes, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.txt": DATA, "b.txt": b"b"})
    target = tmp_path / "out"
    file = target / "artifacts/custom/a.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    summary, results = download(bucket, target)
    assert exit_code(summary) == 6
    assert file.read_bytes() == data
    assert recorder.count("GetObject", key_of("a.txt")) == 0
    assert results["b.txt"].outcome is PutOutcome.CREATED
    summary, results = download(bucket, target, overwrite=True)
    assert exit_code(summary) == 0
    assert file.read_bytes() == DATA
    assert leftovers(target) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"same.txt": DATA, "other.txt": DATA})
    target = tmp_path / "out"
    place = target / "artifacts/custom"

    once = threading.Lock()

    class Appear(Fault):
        # Both requests wait here until both files are there, and neither file is written twice:
        # the download would meet a file that is empty for a moment.
        def request_head(self, waiting: object) -> None:
            with once:
                if not (place / "other.txt").exists():
                    (place / "same.txt").write_bytes(DATA)
                    (place / "other.txt").write_bytes(b"other")

    recorder.inject(Appear(), "GetObject", times=None)
    summary, results = download(bucket, target)
    assert exit_code(summary) == 6
    assert results["same.txt"].outcome is PutOutcome.IDENTICAL
    assert results["other.txt"].outcome is None
    assert (place / "other.txt").read_bytes() == b"other"
    assert leftovers(target) == []


def test_a_pattern_without_a_file_does_not_stop_the_others(
    cli: RunCommand, recorder: Proxy, make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"a.txt": "a", "b.txt": "b"})).ok()
    result = cli("download", execution, "*/a.txt", "none.txt", "-o", tmp_path / "out").expect(4)
    assert "none.txt" in result.err
    assert files_below(tmp_path / "out") == {"artifacts/custom/a.txt": b"a"}


# --- integrity ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [DATA, BIG], ids=["small", "large"])
def test_a_corrupt_byte_never_gets_the_name(
    data: bytes, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.bin": data, "b.txt": b"b"})
    recorder.inject(faults.CorruptAnswer(1234), "GetObject", key="a.bin", times=None)
    target = tmp_path / "out"
    summary, results = download(bucket, target)
    recorder.heal()
    assert exit_code(summary) == 7
    assert results["b.txt"].outcome is PutOutcome.CREATED
    # Neither under its name nor kept for the next run to build on.
    assert files_below(target) == {"artifacts/custom/b.txt": b"b"}
    summary, _ = download(bucket, target)
    assert exit_code(summary) == 0
    assert (target / "artifacts/custom/a.bin").read_bytes() == data


@pytest.mark.parametrize(
    "fault",
    [
        faults.internal_error,
        faults.slow_down,
        faults.ResetBefore,
        lambda: faults.TruncateAnswer(1000),
        faults.DropAnswer,
    ],
)
def test_what_can_pass_passes(
    fault: Callable[[], Fault], recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.txt": DATA, "big.bin": BIG})
    rule = recorder.inject(fault(), "GetObject", times=3)
    summary, _ = download(bucket, tmp_path)
    assert exit_code(summary) == 0
    assert rule.struck == 3
    assert (tmp_path / "artifacts/custom/a.txt").read_bytes() == DATA
    assert (tmp_path / "artifacts/custom/big.bin").read_bytes() == BIG


# --- resuming ----------------------------------------------------------------------------


def test_a_lasting_failure_keeps_what_arrived(recorder: Proxy, bucket: str, tmp_path: Path) -> None:
    store_files(bucket, {"big.bin": BIG})
    recorder.clear()
    recorder.inject(FromByte(8 * MIB, faults.access_denied()), "GetObject", times=None)
    assert exit_code(download(bucket, tmp_path)[0]) == AccessError.exit_code
    (name,) = leftovers(tmp_path)
    there = (tmp_path / "artifacts/custom" / name).read_bytes()
    assert there == BIG[: 8 * MIB]
    recorder.heal()
    recorder.clear()
    _, results = download(bucket, tmp_path)
    assert results["big.bin"].resumed_bytes == len(there)
    assert recorder.response_bytes("GetObject") == len(BIG) - len(there)
    assert (tmp_path / "artifacts/custom/big.bin").read_bytes() == BIG
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("data", [MEDIUM, BIG], ids=["medium", "large"])
@pytest.mark.parametrize("damage", ["zeros", "too long", "empty"])
def test_a_damaged_beginning_is_fetched_again(
    damage: str, data: bytes, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    """A power cut leaves lengths without their bytes; the next run has to be right."""
    store_files(bucket, {"a.bin": data})
    recorder.inject(faults.access_denied(), "GetObject", times=None)
    assert exit_code(download(bucket, tmp_path)[0]) == AccessError.exit_code
    (name,) = leftovers(tmp_path)
    part = tmp_path / "artifacts/custom" / name
    part.write_bytes({"zeros": bytes(1000), "too long": data + b"x", "empty": b""}[damage])
    recorder.heal()
    summary, results = download(bucket, tmp_path)
    assert exit_code(summary) == 0
    assert results["a.bin"].resumed_bytes == 0
    assert files_below(tmp_path) == {"artifacts/custom/a.bin": data}


def test_many_downloads_of_one_execution_at_once(
    cli: RunCommand,
    server_forks: ForkServer,
    s3env: dict[str, str],
    make_tree: Callable[..., Path],
    tmp_path: Path,
) -> None:
    files = {f"{number:02}.txt": content(number * 100, number) for number in range(40)}
    files["big.bin"] = BIG
    execution = new_execution(cli)
    cli("upload", execution, make_tree(files)).ok()
    target = tmp_path / "out"
    running = [server_forks.start("download", execution, "-o", target) for _ in range(3)]
    for child in running:
        child.wait(60).ok()
    assert files_below(target) == {f"artifacts/custom/{n}": data for n, data in files.items()}


class SmallPages(Fault):
    """Lets a listing have no more than 350 keys a page."""

    def request_head(self, waiting: Any) -> None:
        waiting.path += "&max-keys=350"


def test_what_is_listed_is_fetched_while_more_is_listed(
    server_forks: ForkServer, s3: S3Client, bucket: str, recorder: Proxy, tmp_path: Path
) -> None:
    names = [f"artifacts/custom/{number:04}" for number in range(300)]
    # What is no file of an execution fills the page, and is not fetched.
    foreign = [f"z/../{number}" for number in range(51)]
    prefix = execution_prefix(EXECUTION_ID)
    put_keys(s3, bucket, (f"{prefix}{name}" for name in [*names, *foreign]), b"x")
    recorder.inject(SmallPages(), "ListObjectsV2", times=None)
    hold = faults.Hold("head")
    recorder.inject(hold, "ListObjectsV2", nth=2)
    child = server_forks.start("download", EXECUTION_ID, "-o", tmp_path)
    recorder.wait_for(lambda seen: any(one.operation == "GetObject" for one in seen))
    hold.released.set()
    child.wait(60).ok()
    assert files_below(tmp_path) == dict.fromkeys(names, b"x")
    assert recorder.count("ListObjectsV2") == 2


# --- hostile -----------------------------------------------------------------------------


def test_hostile_keys_are_never_written_outside(
    cli: RunCommand, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    execution = new_execution(cli)
    prefix = execution_prefix(execution)
    for name in (
        "../../../outside.txt",
        "artifacts/../../../outside.txt",
        "/etc/outside.txt",
        "artifacts//outside.txt",
        "artifacts/custom/./outside.txt",
        "artifacts/custom/dir/",
        "artifacts/custom/esc\x1b[2Joutside.txt",
        "artifacts/custom/good.txt",
    ):
        s3.put_object(Bucket=bucket, Key=prefix + name, Body=b"x")
    target = tmp_path / "a/b/out"
    result = cli("download", execution, "-o", target).ok()
    assert files_below(tmp_path) == {"a/b/out/artifacts/custom/good.txt": b"x"}
    assert "\x1b" not in result.err
    for name in (f"{prefix}artifacts/custom/esc\x1b[2Joutside.txt", f"{prefix}/etc/outside.txt"):
        s3.delete_object(Bucket=bucket, Key=name)


@pytest.mark.parametrize("depth", ["artifacts", "artifacts/custom"])
def test_a_link_inside_the_target_leads_nowhere(
    depth: str, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.txt": DATA, "deep/er/b.txt": DATA})
    outside, target = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (target / depth).parent.mkdir(parents=True)
    (target / depth).symlink_to(outside)
    recorder.clear()
    summary, results = download(bucket, target)
    assert exit_code(summary) == 1
    assert "not a directory, or a link" in str(results["a.txt"].error)
    # Not a file, and not a directory either.
    assert list(outside.iterdir()) == []
    assert recorder.count("GetObject") == 0


class SwapOnce(Fault):
    """Moves a directory away and puts a link in its place, at the third request."""

    def __init__(self, place: Path, target: Path) -> None:
        self.place = place
        self.target = target
        self._lock = threading.Lock()
        self._left = 3

    def request_head(self, waiting: object) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                moved = self.target.parent / "moved"
                moved.symlink_to(self.target)
                # In one step: a download that misses the directory makes another one.
                exchange(self.place, moved)


@pytest.mark.parametrize("swapped", ["out", "out/artifacts", "out/artifacts/custom/d"])
@pytest.mark.parametrize("size", [100, len(MEDIUM)])
def test_a_directory_that_becomes_a_link_is_no_place_for_the_rest(
    swapped: str, size: int, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    count = 60 if size == 100 else 12
    store_files(bucket, {f"d/{number}": content(size, number) for number in range(count)})
    outside = tmp_path / "outside"
    (outside / "artifacts/custom/d").mkdir(parents=True)
    (outside / "custom/d").mkdir(parents=True)
    before = sorted(outside.rglob("*"))
    (tmp_path / "out/artifacts/custom/d").mkdir(parents=True)
    recorder.inject(SwapOnce(tmp_path / swapped, outside), "GetObject", times=None)
    summary, results = download(bucket, tmp_path / "out")
    created = {name for name, result in results.items() if result.outcome is not None}
    assert exit_code(summary) == (3 if created else 1)
    assert sorted(outside.rglob("*")) == before
    assert len(created) < 20
    assert created <= {path.name for path in (tmp_path / "moved").rglob("*")}


def test_a_directory_that_is_now_and_then_a_link_lets_nothing_out(
    bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {f"d/{number}": content(100, number) for number in range(40)})
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    custom = tmp_path / "out/artifacts/custom"
    (custom / "d").mkdir(parents=True)
    (custom / "link").symlink_to(outside)
    created = refused = tries = 0
    with flipping(custom, "d", "link"):
        while tries < 8 or not (created and refused):
            tries += 1
            _, results = download(bucket, tmp_path / "out", overwrite=True)
            created += sum(result.outcome is not None for result in results.values())
            refused += sum(result.outcome is None for result in results.values())
            assert os.listdir(outside) == []
            assert tries < 1000


def test_a_link_in_the_place_of_the_directory_that_nobody_has_named_is_refused(
    cli: RunCommand, new_upload: NewUpload, tmp_path: Path
) -> None:
    line = new_upload()
    cli(*line).ok()
    (tmp_path / "outside").mkdir()
    Path(line[1]).symlink_to(tmp_path / "outside")
    assert "not a directory, or a link" in cli("download", line[1]).expect(1).err
    assert list((tmp_path / "outside").iterdir()) == []
    cli("download", line[1], "-o", line[1]).ok()


def test_a_link_in_the_place_of_the_file_is_not_written_through(
    bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.txt": DATA})
    victim, target = tmp_path / "victim.txt", tmp_path / "out"
    victim.write_bytes(b"mine")
    file = target / "artifacts/custom/a.txt"
    file.parent.mkdir(parents=True)
    file.symlink_to(victim)
    assert exit_code(download(bucket, target)[0]) == 6
    assert exit_code(download(bucket, target, overwrite=True)[0]) == 0
    assert victim.read_bytes() == b"mine"
    assert not file.is_symlink()
    assert file.read_bytes() == DATA


def test_a_link_in_the_place_of_the_partial_file_is_not_written_through(
    recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"a.txt": MEDIUM})
    recorder.inject(faults.access_denied(), "GetObject", times=None)
    assert exit_code(download(bucket, tmp_path)[0]) == AccessError.exit_code
    (name,) = leftovers(tmp_path)
    part, victim = tmp_path / "artifacts/custom" / name, tmp_path / "victim"
    part.unlink()
    victim.write_bytes(b"")
    part.symlink_to(victim)
    recorder.heal()
    summary, _ = download(bucket, tmp_path)
    assert exit_code(summary) == 0
    assert victim.read_bytes() == b""
    assert (tmp_path / "artifacts/custom/a.txt").read_bytes() == MEDIUM
    assert leftovers(tmp_path) == []


def test_a_directory_in_the_place_of_the_file_is_a_conflict(bucket: str, tmp_path: Path) -> None:
    store_files(bucket, {"a.txt": DATA, "b.txt": b"b"})
    (tmp_path / "artifacts/custom/a.txt").mkdir(parents=True)
    for overwrite in (False, True):
        summary, results = download(bucket, tmp_path, overwrite)
        assert exit_code(summary) == 6
        assert "is a directory" in str(results["a.txt"].error)
        error = summary.error()
        assert error is not None
        assert error.hint == "choose another directory"
    assert (tmp_path / "artifacts/custom/b.txt").read_bytes() == b"b"
    assert leftovers(tmp_path) == []


def test_a_file_in_the_place_of_a_directory_fails_what_is_below(
    bucket: str, tmp_path: Path
) -> None:
    store_files(bucket, {"d/a.txt": DATA, "b.txt": b"b"})
    (tmp_path / "artifacts/custom").mkdir(parents=True)
    (tmp_path / "artifacts/custom/d").write_text("a file")
    summary, _ = download(bucket, tmp_path, overwrite=True)
    error = summary.error()
    assert error is not None
    assert (error.exit_code, error.hint, error.retryable) == (3, "choose another directory", False)


# --- disks -------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(directory: Path, *options: str) -> Iterator[None]:
    """Mount a small file system of its own, or skip the test where that is not allowed."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", os.fspath(directory)]
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a file system takes root on Linux")
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield
    finally:
        gc.collect()  # errors that were told may still hold directories open
        subprocess.run(["umount", os.fspath(directory)], check=True)


def test_a_full_disk_is_one_clear_error_and_a_rerun_succeeds(
    cli: RunCommand, bucket: str, make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    files = {f"{number:02}.bin": content(MIB, number) for number in range(20)}
    execution = new_execution(cli)
    cli("upload", execution, make_tree(files)).ok()
    target = tmp_path / "small"
    with mounted(target, "-o", "size=6m"):
        result = cli("download", execution, "-o", target).expect(1)
        assert result.err.count("No space left on device") == 1
        assert "the same command again" in result.err
        assert "unexpected" not in result.err
        for file in target.rglob("*.bin"):
            assert file.read_bytes() == files[file.name]
        subprocess.run(["mount", "-o", "remount,size=64m", os.fspath(target)], check=True)
        cli("download", execution, "-o", target).ok()
        assert files_below(target) == {f"artifacts/custom/{n}": d for n, d in files.items()}


def test_a_large_file_that_does_not_fit_goes_on_where_it_stopped(
    cli: RunCommand,
    server_forks: ForkServer,
    recorder: Proxy,
    bucket: str,
    make_tree: Callable[..., Path],
    tmp_path: Path,
) -> None:
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"big.bin": BIG})).ok()
    target = tmp_path / "small"
    with mounted(target, "-o", "size=6m"):
        full = server_forks.run("download", execution, "-o", target).expect(1)
        assert full.err.count("No space left on device") == 1
        subprocess.run(["mount", "-o", "remount,size=64m", os.fspath(target)], check=True)
        # What it still had asked for ahead is not the next one's.
        recorder.outlast_clients()
        recorder.clear()
        (line,) = cli("download", execution, "-o", target, "--json").ok().json_lines()
        assert line["resumed_bytes"] >= 4 * MIB
        assert recorder.response_bytes("GetObject") == len(BIG) - line["resumed_bytes"]
        assert files_below(target) == {"artifacts/custom/big.bin": BIG}


def test_a_limit_on_the_size_of_files_fails_that_file_only(
    cli: RunCommand,
    cli_process: Processes,
    s3env: dict[str, str],
    make_tree: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """As on file systems that hold no file over 4 GiB."""
    files = {"big.bin": BIG, "a.txt": DATA}
    execution = new_execution(cli)
    cli("upload", execution, make_tree(files)).ok()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * MIB, resource.RLIM_INFINITY))

    target = tmp_path / "out"
    process = cli_process.start("download", execution, "-o", target, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert os.strerror(errno.EFBIG).encode() in err
    assert files_below(target / "artifacts/custom").keys() == {"a.txt", *leftovers(target)}
    cli("download", execution, "-o", target).ok()
    assert files_below(target) == {f"artifacts/custom/{n}": data for n, data in files.items()}


def test_a_read_only_target(
    cli: RunCommand, s3env: dict[str, str], make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    execution = new_execution(cli)
    cli("upload", execution, make_tree({f"{number}.txt": "x" for number in range(9)})).ok()
    target = tmp_path / "readonly"
    with mounted(target, "-o", "ro"):
        result = cli("download", execution, "-o", target).expect(1)
    assert result.err.count(os.strerror(errno.EROFS)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_target_that_may_not_be_written(
    cli: RunCommand, s3env: dict[str, str], make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"a.txt": "x"})).ok()
    target = tmp_path / "readonly"
    target.mkdir(mode=0o500)
    assert "Permission denied" in cli("download", execution, "-o", target).expect(1).err


# --- failures of the whole ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operation", "code"),
    [
        (faults.access_denied, "GetObject", 5),
        (faults.access_denied, "HeadObject", 3),
        (faults.slow_down, "GetObject", 9),
        (faults.internal_error, "ListObjectsV2", 9),
    ],
)
def test_a_lasting_failure_has_its_exit_code_and_a_rerun_succeeds(
    fault: Callable[[], Fault],
    operation: str,
    code: int,
    cli: RunCommand,
    recorder: Proxy,
    bucket: str,
    make_tree: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"a.txt": "a", "big.bin": BIG})).ok()
    recorder.inject(fault(), operation, times=None)
    result: Result = cli("download", execution, "-o", tmp_path / "out").expect(code)
    if code == 9:
        assert f"orchestrator download {execution}" in result.err
    recorder.heal()
    cli("download", execution, "-o", tmp_path / "out").ok()
    expected = {"artifacts/custom/a.txt": b"a", "artifacts/custom/big.bin": BIG}
    assert files_below(tmp_path / "out") == expected


def test_what_concerns_all_files_ends_the_process_while_other_requests_stall(
    cli: RunCommand,
    server_forks: ForkServer,
    recorder: Proxy,
    bucket: str,
    make_tree: Callable[..., Path],
    tmp_path: Path,
) -> None:
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"a.txt": "a", "b.txt": "b", "big.bin": BIG})).ok()
    stall = recorder.inject(faults.Stall(), "GetObject", key="a.txt|big.bin", times=None)
    refusal = faults.Hold("head")
    recorder.inject(refusal, "GetObject", key="b.txt")
    recorder.inject(faults.Answer(404, "NoSuchBucket"), "GetObject", key="b.txt")
    child = server_forks.start("download", execution, "-o", tmp_path / "out")
    assert refusal.reached.wait(30)
    recorder.wait_for(lambda seen: stall.struck > 0)
    refusal.released.set()
    child.wait(20).expect(4)


def test_a_missing_execution_is_exit_4_and_makes_no_directory(
    cli: RunCommand, s3env: dict[str, str], tmp_path: Path
) -> None:
    result = cli("download", EXECUTION_ID, "-o", tmp_path / "out").expect(4)
    assert "no such execution" in result.err
    assert not (tmp_path / "out").exists()


def test_interrupted_downloads_go_on(
    cli: RunCommand,
    server_forks: ForkServer,
    recorder: Proxy,
    bucket: str,
    make_tree: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """SIGKILL, after the first ranges are on disk: only the rest is fetched again."""
    data = content(24 * MIB)
    execution = new_execution(cli)
    cli("upload", execution, make_tree({"big.bin": data})).ok()
    target = tmp_path / "out"
    recorder.clear()
    recorder.inject(FromByte(12 * MIB, faults.Stall()), "GetObject", times=None)
    child = server_forks.start("download", execution, "-o", target)
    wait_until(lambda: any(path.stat().st_size == 12 * MIB for path in parts_below(target)))
    child.signal(signal.SIGKILL)
    child.wait(20)
    recorder.heal()
    recorder.clear()
    (part,) = parts_below(target)
    there = 12 * MIB
    assert part.read_bytes() == data[:there]
    (line,) = cli("download", execution, "-o", target, "--json").ok().json_lines()
    assert line["resumed_bytes"] == there
    assert recorder.response_bytes("GetObject") == len(data) - there
    assert files_below(target) == {"artifacts/custom/big.bin": data}


def parts_below(target: Path) -> list[Path]:
    return list(target.rglob(".orchestrator-*.part"))


def wait_until(condition: Callable[[], bool]) -> None:
    """Watch another process's files; nothing but they can tell how far it is."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise TimeoutError("it never came to that")
