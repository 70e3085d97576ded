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
from typing import Any

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
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import NewUpload, Processes, Result, RunCommand
from tests.support.proxy import faults
from tests.support.proxy.faults import Fault
from tests.support.scene import Scene
from tests.support.stored.engine import (
    EXECUTION_ID,
    MIB,
    PART,
    FromByte,
    content,
    impatient,
    key_of,
    open_store,
)
from tests.support.stored.executions import put_keys

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
    # It would hold what was received.
    assert not any(result.error.__traceback__ for result in results if result.error)
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


def test_an_execution_makes_the_round_trip(scene: Scene) -> None:
    files = {f"d{number % 5}/{number:03}.txt": content(number * 10, number) for number in range(80)}
    files |= {"empty": b"", "part.bin": content(PART), "big.bin": BIG, "stdout.log": b"log\n"}
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree(files)).ok()
    scene.recorder.clear()
    target = scene.directory / "out"
    result = scene.cli("download", execution, "-o", target, "--json").ok()
    found = files_below(target)
    assert found.pop("logs/stdout.log") == b"log\n"
    del files["stdout.log"]
    assert found == {f"artifacts/custom/{name}": data for name, data in files.items()}
    assert leftovers(target) == []
    # Every byte once.
    assert scene.recorder.response_bytes("GetObject") == sum(map(len, files.values())) + len(
        b"log\n"
    )
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
    scene: Scene, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one request, whether the system has files without a name or not."""
    store_files(scene.bucket, {"a.txt": DATA, "empty": b""})
    if not nameless:
        monkeypatch.setattr("orchestrator_cli.core.files.new_file._NAMELESS", None)
    scene.recorder.clear()
    summary, _ = download(scene.bucket, scene.directory)
    assert exit_code(summary) == 0
    assert files_below(scene.directory) == {
        "artifacts/custom/a.txt": DATA,
        "artifacts/custom/empty": b"",
    }
    assert scene.recorder.count("GetObject") == 2
    assert scene.recorder.count("HeadObject") == 0
    assert leftovers(scene.directory) == []
    modes = {
        path.stat().st_mode & 0o777 for path in (scene.directory / "artifacts/custom").iterdir()
    }
    (scene.directory / "own").touch()
    assert modes == {(scene.directory / "own").stat().st_mode & 0o777}


def test_files_get_the_mode_that_the_user_gives_to_files(scene: Scene) -> None:
    store_files(scene.bucket, {"a.txt": DATA})
    before = os.umask(0o027)
    try:
        download(scene.bucket, scene.directory / "out")
    finally:
        os.umask(before)
    assert (scene.directory / "out/artifacts/custom/a.txt").stat().st_mode & 0o777 == 0o640


def test_the_same_file_is_left_alone(scene: Scene) -> None:
    store_files(scene.bucket, {"a.txt": DATA})
    target = scene.directory / "out"
    download(scene.bucket, target)
    file = target / "artifacts/custom/a.txt"
    os.utime(file, ns=(1, 1))
    before = file.stat()
    scene.recorder.clear()
    for overwrite in (False, True):
        _, results = download(scene.bucket, target, overwrite)
        assert results["a.txt"].outcome is PutOutcome.IDENTICAL
        after = file.stat()
        assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert scene.recorder.response_bytes("GetObject") == 0


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"x", b"x" * len(DATA)])
def test_a_file_that_differs_is_not_touched(scene: Scene, data: bytes) -> None:
    store_files(scene.bucket, {"a.txt": DATA, "b.txt": b"b"})
    target = scene.directory / "out"
    file = target / "artifacts/custom/a.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    summary, results = download(scene.bucket, target)
    assert exit_code(summary) == 6
    assert file.read_bytes() == data
    assert scene.recorder.count("GetObject", key_of("a.txt")) == 0
    assert results["b.txt"].outcome is PutOutcome.CREATED
    summary, results = download(scene.bucket, target, overwrite=True)
    assert exit_code(summary) == 0
    assert file.read_bytes() == DATA
    assert leftovers(target) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(scene: Scene) -> None:
    store_files(scene.bucket, {"same.txt": DATA, "other.txt": DATA})
    target = scene.directory / "out"
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

    scene.recorder.inject(Appear(), "GetObject", times=None)
    summary, results = download(scene.bucket, target)
    assert exit_code(summary) == 6
    assert results["same.txt"].outcome is PutOutcome.IDENTICAL
    assert results["other.txt"].outcome is None
    assert (place / "other.txt").read_bytes() == b"other"
    assert leftovers(target) == []


def test_a_pattern_without_a_file_does_not_stop_the_others(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"a.txt": "a", "b.txt": "b"})).ok()
    result = scene.cli(
        "download", execution, "*/a.txt", "none.txt", "-o", scene.directory / "out"
    ).expect(4)
    assert "none.txt" in result.err
    assert files_below(scene.directory / "out") == {"artifacts/custom/a.txt": b"a"}


# --- integrity ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [DATA, BIG], ids=["small", "large"])
def test_a_corrupt_byte_never_gets_the_name(scene: Scene, data: bytes) -> None:
    store_files(scene.bucket, {"a.bin": data, "b.txt": b"b"})
    scene.recorder.inject(faults.CorruptAnswer(1234), "GetObject", key="a.bin", times=None)
    target = scene.directory / "out"
    summary, results = download(scene.bucket, target)
    scene.recorder.heal()
    assert exit_code(summary) == 7
    assert results["b.txt"].outcome is PutOutcome.CREATED
    # Neither under its name nor kept for the next run to build on.
    assert files_below(target) == {"artifacts/custom/b.txt": b"b"}
    summary, _ = download(scene.bucket, target)
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
def test_a_fault_that_passes_fails_no_download(scene: Scene, fault: Callable[[], Fault]) -> None:
    store_files(scene.bucket, {"a.txt": DATA, "big.bin": BIG})
    rule = scene.recorder.inject(fault(), "GetObject", times=3)
    summary, _ = download(scene.bucket, scene.directory)
    assert exit_code(summary) == 0
    assert rule.struck == 3
    assert (scene.directory / "artifacts/custom/a.txt").read_bytes() == DATA
    assert (scene.directory / "artifacts/custom/big.bin").read_bytes() == BIG


# --- resuming ----------------------------------------------------------------------------


def test_a_lasting_failure_keeps_what_arrived(scene: Scene) -> None:
    store_files(scene.bucket, {"big.bin": BIG})
    scene.recorder.clear()
    scene.recorder.inject(FromByte(8 * MIB, faults.access_denied()), "GetObject", times=None)
    assert exit_code(download(scene.bucket, scene.directory)[0]) == AccessError.exit_code
    (name,) = leftovers(scene.directory)
    there = (scene.directory / "artifacts/custom" / name).read_bytes()
    assert there == BIG[: 8 * MIB]
    scene.recorder.heal()
    scene.recorder.clear()
    _, results = download(scene.bucket, scene.directory)
    assert results["big.bin"].resumed_bytes == len(there)
    assert scene.recorder.response_bytes("GetObject") == len(BIG) - len(there)
    assert (scene.directory / "artifacts/custom/big.bin").read_bytes() == BIG
    assert leftovers(scene.directory) == []


@pytest.mark.parametrize("data", [MEDIUM, BIG], ids=["medium", "large"])
@pytest.mark.parametrize("damage", ["zeros", "too long", "empty"])
def test_a_damaged_beginning_is_fetched_again(scene: Scene, damage: str, data: bytes) -> None:
    """A power cut leaves lengths without their bytes; the next run has to be right."""
    store_files(scene.bucket, {"a.bin": data})
    scene.recorder.inject(faults.access_denied(), "GetObject", times=None)
    assert exit_code(download(scene.bucket, scene.directory)[0]) == AccessError.exit_code
    (name,) = leftovers(scene.directory)
    part = scene.directory / "artifacts/custom" / name
    part.write_bytes({"zeros": bytes(1000), "too long": data + b"x", "empty": b""}[damage])
    scene.recorder.heal()
    summary, results = download(scene.bucket, scene.directory)
    assert exit_code(summary) == 0
    assert results["a.bin"].resumed_bytes == 0
    assert files_below(scene.directory) == {"artifacts/custom/a.bin": data}


def test_many_downloads_of_one_execution_at_once_leave_every_file_whole(
    scene: Scene, server_forks: ForkServer
) -> None:
    files = {f"{number:02}.txt": content(number * 100, number) for number in range(40)}
    files["big.bin"] = BIG
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree(files)).ok()
    target = scene.directory / "out"
    running = [server_forks.start("download", execution, "-o", target) for _ in range(3)]
    for child in running:
        child.wait(60).ok()
    assert files_below(target) == {f"artifacts/custom/{n}": data for n, data in files.items()}


class SmallPages(Fault):
    """Lets a listing have no more than 350 keys a page."""

    def request_head(self, waiting: Any) -> None:
        waiting.path += "&max-keys=350"


def test_what_is_listed_is_fetched_while_more_is_listed(
    scene: Scene, server_forks: ForkServer
) -> None:
    names = [f"artifacts/custom/{number:04}" for number in range(300)]
    # What is no file of an execution fills the page, and is not fetched.
    foreign = [f"z/../{number}" for number in range(51)]
    prefix = execution_prefix(EXECUTION_ID)
    put_keys(scene.s3, scene.bucket, (f"{prefix}{name}" for name in [*names, *foreign]), b"x")
    scene.recorder.inject(SmallPages(), "ListObjectsV2", times=None)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "ListObjectsV2", nth=2)
    child = server_forks.start("download", EXECUTION_ID, "-o", scene.directory)
    scene.recorder.wait_for(lambda seen: any(one.operation == "GetObject" for one in seen))
    hold.released.set()
    child.wait(60).ok()
    assert files_below(scene.directory) == dict.fromkeys(names, b"x")
    assert scene.recorder.count("ListObjectsV2") == 2


# --- hostile -----------------------------------------------------------------------------


def test_hostile_keys_are_never_written_outside(scene: Scene) -> None:
    execution = scene.new_execution()
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
        scene.s3.put_object(Bucket=scene.bucket, Key=prefix + name, Body=b"x")
    target = scene.directory / "a/b/out"
    result = scene.cli("download", execution, "-o", target).ok()
    assert files_below(scene.directory) == {"a/b/out/artifacts/custom/good.txt": b"x"}
    assert "\x1b" not in result.err
    for name in (f"{prefix}artifacts/custom/esc\x1b[2Joutside.txt", f"{prefix}/etc/outside.txt"):
        scene.s3.delete_object(Bucket=scene.bucket, Key=name)


@pytest.mark.parametrize("depth", ["artifacts", "artifacts/custom"])
def test_a_link_inside_the_target_leads_nowhere(scene: Scene, depth: str) -> None:
    store_files(scene.bucket, {"a.txt": DATA, "deep/er/b.txt": DATA})
    outside, target = scene.directory / "outside", scene.directory / "out"
    outside.mkdir()
    (target / depth).parent.mkdir(parents=True)
    (target / depth).symlink_to(outside)
    scene.recorder.clear()
    summary, results = download(scene.bucket, target)
    assert exit_code(summary) == 1
    assert "not a directory, or a link" in str(results["a.txt"].error)
    # Not a file, and not a directory either.
    assert list(outside.iterdir()) == []
    assert scene.recorder.count("GetObject") == 0


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
    scene: Scene, swapped: str, size: int
) -> None:
    count = 60 if size == 100 else 12
    store_files(scene.bucket, {f"d/{number}": content(size, number) for number in range(count)})
    outside = scene.directory / "outside"
    (outside / "artifacts/custom/d").mkdir(parents=True)
    (outside / "custom/d").mkdir(parents=True)
    before = sorted(outside.rglob("*"))
    (scene.directory / "out/artifacts/custom/d").mkdir(parents=True)
    scene.recorder.inject(SwapOnce(scene.directory / swapped, outside), "GetObject", times=None)
    summary, results = download(scene.bucket, scene.directory / "out")
    created = {name for name, result in results.items() if result.outcome is not None}
    assert exit_code(summary) == (3 if created else 1)
    assert sorted(outside.rglob("*")) == before
    assert len(created) < 20
    assert created <= {path.name for path in (scene.directory / "moved").rglob("*")}


def test_a_directory_that_is_now_and_then_a_link_lets_nothing_out(scene: Scene) -> None:
    store_files(scene.bucket, {f"d/{number}": content(100, number) for number in range(40)})
    outside = scene.directory / "outside"
    outside.mkdir(mode=0o700)
    custom = scene.directory / "out/artifacts/custom"
    (custom / "d").mkdir(parents=True)
    (custom / "link").symlink_to(outside)
    created = refused = tries = 0
    with flipping(custom, "d", "link"):
        while tries < 8 or not (created and refused):
            tries += 1
            _, results = download(scene.bucket, scene.directory / "out", overwrite=True)
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


def test_a_link_in_the_place_of_the_file_is_not_written_through(scene: Scene) -> None:
    store_files(scene.bucket, {"a.txt": DATA})
    victim, target = scene.directory / "victim.txt", scene.directory / "out"
    victim.write_bytes(b"mine")
    file = target / "artifacts/custom/a.txt"
    file.parent.mkdir(parents=True)
    file.symlink_to(victim)
    assert exit_code(download(scene.bucket, target)[0]) == 6
    assert exit_code(download(scene.bucket, target, overwrite=True)[0]) == 0
    assert victim.read_bytes() == b"mine"
    assert not file.is_symlink()
    assert file.read_bytes() == DATA


def test_a_link_in_the_place_of_the_partial_file_is_not_written_through(scene: Scene) -> None:
    store_files(scene.bucket, {"a.txt": MEDIUM})
    scene.recorder.inject(faults.access_denied(), "GetObject", times=None)
    assert exit_code(download(scene.bucket, scene.directory)[0]) == AccessError.exit_code
    (name,) = leftovers(scene.directory)
    part, victim = scene.directory / "artifacts/custom" / name, scene.directory / "victim"
    part.unlink()
    victim.write_bytes(b"")
    part.symlink_to(victim)
    scene.recorder.heal()
    summary, _ = download(scene.bucket, scene.directory)
    assert exit_code(summary) == 0
    assert victim.read_bytes() == b""
    assert (scene.directory / "artifacts/custom/a.txt").read_bytes() == MEDIUM
    assert leftovers(scene.directory) == []


def test_a_directory_in_the_place_of_the_file_is_a_conflict(scene: Scene) -> None:
    store_files(scene.bucket, {"a.txt": DATA, "b.txt": b"b"})
    (scene.directory / "artifacts/custom/a.txt").mkdir(parents=True)
    for overwrite in (False, True):
        summary, results = download(scene.bucket, scene.directory, overwrite)
        assert exit_code(summary) == 6
        assert "is a directory" in str(results["a.txt"].error)
        error = summary.error()
        assert error is not None
        assert error.hint == "choose another directory"
    assert (scene.directory / "artifacts/custom/b.txt").read_bytes() == b"b"
    assert leftovers(scene.directory) == []


def test_a_file_in_the_place_of_a_directory_fails_what_is_below(scene: Scene) -> None:
    store_files(scene.bucket, {"d/a.txt": DATA, "b.txt": b"b"})
    (scene.directory / "artifacts/custom").mkdir(parents=True)
    (scene.directory / "artifacts/custom/d").write_text("a file")
    summary, _ = download(scene.bucket, scene.directory, overwrite=True)
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


def test_a_full_disk_is_one_clear_error_and_a_rerun_succeeds(scene: Scene) -> None:
    files = {f"{number:02}.bin": content(MIB, number) for number in range(20)}
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree(files)).ok()
    target = scene.directory / "small"
    with mounted(target, "-o", "size=6m"):
        result = scene.cli("download", execution, "-o", target).expect(1)
        assert result.err.count("No space left on device") == 1
        assert "the same command again" in result.err
        assert "unexpected" not in result.err
        for file in target.rglob("*.bin"):
            assert file.read_bytes() == files[file.name]
        subprocess.run(["mount", "-o", "remount,size=64m", os.fspath(target)], check=True)
        scene.cli("download", execution, "-o", target).ok()
        assert files_below(target) == {f"artifacts/custom/{n}": d for n, d in files.items()}


def test_a_large_file_that_does_not_fit_goes_on_where_it_stopped(
    scene: Scene, server_forks: ForkServer
) -> None:
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"big.bin": BIG})).ok()
    target = scene.directory / "small"
    with mounted(target, "-o", "size=6m"):
        full = server_forks.run("download", execution, "-o", target).expect(1)
        assert full.err.count("No space left on device") == 1
        subprocess.run(["mount", "-o", "remount,size=64m", os.fspath(target)], check=True)
        # What it still had asked for ahead is not the next one's.
        scene.recorder.outlast_clients()
        scene.recorder.clear()
        (line,) = scene.cli("download", execution, "-o", target, "--json").ok().json_lines()
        assert line["resumed_bytes"] >= 4 * MIB
        assert scene.recorder.response_bytes("GetObject") == len(BIG) - line["resumed_bytes"]
        assert files_below(target) == {"artifacts/custom/big.bin": BIG}


def test_a_limit_on_the_size_of_files_fails_that_file_only(
    scene: Scene, cli_process: Processes
) -> None:
    """As on file systems that hold no file over 4 GiB."""
    files = {"big.bin": BIG, "a.txt": DATA}
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree(files)).ok()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * MIB, resource.RLIM_INFINITY))

    target = scene.directory / "out"
    process = cli_process.start("download", execution, "-o", target, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert os.strerror(errno.EFBIG).encode() in err
    assert files_below(target / "artifacts/custom").keys() == {"a.txt", *leftovers(target)}
    scene.cli("download", execution, "-o", target).ok()
    assert files_below(target) == {f"artifacts/custom/{n}": data for n, data in files.items()}


def test_a_read_only_target_is_said_once(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.cli(
        "upload", execution, scene.write_tree({f"{number}.txt": "x" for number in range(9)})
    ).ok()
    target = scene.directory / "readonly"
    with mounted(target, "-o", "ro"):
        result = scene.cli("download", execution, "-o", target).expect(1)
    assert result.err.count(os.strerror(errno.EROFS)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_target_that_may_not_be_written_is_exit_1(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"a.txt": "x"})).ok()
    target = scene.directory / "readonly"
    target.mkdir(mode=0o500)
    assert "Permission denied" in scene.cli("download", execution, "-o", target).expect(1).err


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
    scene: Scene,
    fault: Callable[[], Fault],
    operation: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"a.txt": "a", "big.bin": BIG})).ok()
    scene.recorder.inject(fault(), operation, times=None)
    result: Result = scene.cli("download", execution, "-o", scene.directory / "out").expect(code)
    if code == 9:
        assert f"orchestrator download {execution}" in result.err
    scene.recorder.heal()
    scene.cli("download", execution, "-o", scene.directory / "out").ok()
    expected = {"artifacts/custom/a.txt": b"a", "artifacts/custom/big.bin": BIG}
    assert files_below(scene.directory / "out") == expected


def test_what_concerns_all_files_ends_the_process_while_other_requests_stall(
    scene: Scene, server_forks: ForkServer
) -> None:
    execution = scene.new_execution()
    scene.cli(
        "upload", execution, scene.write_tree({"a.txt": "a", "b.txt": "b", "big.bin": BIG})
    ).ok()
    stall = scene.recorder.inject(faults.Stall(), "GetObject", key="a.txt|big.bin", times=None)
    refusal = faults.Hold("head")
    scene.recorder.inject(refusal, "GetObject", key="b.txt")
    scene.recorder.inject(faults.Answer(404, "NoSuchBucket"), "GetObject", key="b.txt")
    child = server_forks.start("download", execution, "-o", scene.directory / "out")
    assert refusal.reached.wait(30)
    scene.recorder.wait_for(lambda seen: stall.struck > 0)
    refusal.released.set()
    child.wait(20).expect(4)


def test_a_missing_execution_is_exit_4_and_makes_no_directory(scene: Scene) -> None:
    result = scene.cli("download", EXECUTION_ID, "-o", scene.directory / "out").expect(4)
    assert "no such execution" in result.err
    assert not (scene.directory / "out").exists()


def test_interrupted_downloads_go_on(scene: Scene, server_forks: ForkServer) -> None:
    """SIGKILL, after the first ranges are on disk: only the rest is fetched again."""
    data = content(24 * MIB)
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree({"big.bin": data})).ok()
    target = scene.directory / "out"
    scene.recorder.clear()
    scene.recorder.inject(FromByte(16 * MIB, faults.Stall()), "GetObject", times=None)
    child = server_forks.start("download", execution, "-o", target)
    wait_until(lambda: any(path.stat().st_size == 16 * MIB for path in parts_below(target)))
    child.signal(signal.SIGKILL)
    child.wait(20)
    scene.recorder.heal()
    scene.recorder.clear()
    (part,) = parts_below(target)
    there = 16 * MIB
    assert part.read_bytes() == data[:there]
    (line,) = scene.cli("download", execution, "-o", target, "--json").ok().json_lines()
    assert line["resumed_bytes"] == there
    assert scene.recorder.response_bytes("GetObject") == len(data) - there
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


def test_one_of_several_files_was_not_downloaded(scene: Scene) -> None:
    execution_id = scene.put_finished_execution({"logs/stdout.log": b"a", "logs/stderr.log": b"b"})
    scene.write_tree({"logs/stdout.log": "x"})
    refused = scene.cli("download", execution_id, "-o", scene.directory / "tree").expect(6)
    assert "error: 1 of 2 files was not downloaded\n" in refused.err
