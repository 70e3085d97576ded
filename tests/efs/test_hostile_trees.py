"""A share whose users swap directories and links while it is synced."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from orchestrator_cli.core.efs.cleanup.removal import remove_empty_dirs
from orchestrator_cli.core.efs.tree import (
    BenchExecution,
    list_bench_executions,
    plan_execution,
    tree_fingerprint,
)
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from tests.files.flipping import flipping
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.bench_tree import OLD_ID, OTHER_ID, BenchTree
from tests.support.stored.engine import PART, content

_TRIES = 300
_READS = 2000
_MOST_TRIES = 100_000
_NAMES = [str(number) for number in range(20)]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """What looks like an execution, with what must never be read or removed."""
    elsewhere = tmp_path / "elsewhere"
    for place in ("raw", "temp/deep"):
        (elsewhere / place).mkdir(parents=True)
        for name in (*_NAMES, "only-here"):
            (elsewhere / place / name).write_bytes(b"secret")
    elsewhere.chmod(0o700)
    for path in (elsewhere, *elsewhere.rglob("*")):
        os.utime(path, (0, 0))
    return elsewhere


def files_of(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def executions(tree: BenchTree) -> list[BenchExecution]:
    return [one for one in list_bench_executions(tree.root) if isinstance(one, BenchExecution)]


def stored(scene: Scene) -> set[bytes]:
    found = scene.contents("executions/")
    return {data for key, data in found.items() if "metadata" not in key}


# --- again and again -------------------------------------------------------------------------


@pytest.mark.parametrize("swapped", ["raw/z", "raw", ""])
def test_nothing_outside_is_read(tree: BenchTree, elsewhere: Path, swapped: str) -> None:
    inner = Path("raw/z") if swapped == "raw/z" else Path("raw")
    for name in _NAMES:
        tree.write(f"{inner}/{name}", b"honest")
    tree.write("raw/kept", b"honest", execution_id=OTHER_ID)
    target = elsewhere if not swapped else elsewhere / "raw"
    place = tree.directory() / swapped
    link = place.parent / ("01H0000000000000000000000Z" if not swapped else "link")
    link.symlink_to(target)
    tries, read_there = 0, 0
    with flipping(place.parent, place.name, link.name):
        while tries < _READS or not read_there:
            tries += 1
            read: dict[str, bytes] = {}
            for execution in executions(tree):
                tree_fingerprint(execution)
                for item in plan_execution(execution):
                    assert Path(item.source).name != "only-here"
                    with contextlib.suppress(OSError):
                        if isinstance(item, PlannedFile):
                            with item.open() as source:
                                read[str(item.source)] = source.read_at(0, 100)
            assert set(read.values()) == {b"honest"}
            read_there += len(read) > 1
            assert tries < _MOST_TRIES


@pytest.mark.parametrize("swapped", ["temp", ""])
def test_nothing_outside_is_removed(tree: BenchTree, elsewhere: Path, swapped: str) -> None:
    place = tree.directory() / swapped
    link = place.parent / ("01H0000000000000000000000Z" if not swapped else "link")
    tree.write("temp/0")
    link.symlink_to(elsewhere / swapped)
    before = files_of(elsewhere)
    tries = removed = 0
    with flipping(place.parent, place.name, link.name), Directory.open_root(tree.root) as root:
        while tries < _TRIES or not removed:
            tries += 1
            assert tries < _MOST_TRIES
            with contextlib.suppress(OSError), made_again(root) as file:
                for execution in executions(tree):
                    remove_empty_dirs(execution, lambda status: True, set())
                removed += os.fstat(file.fileno()).st_nlink == 0
            assert files_of(elsewhere) == before


def made_again(root: Directory) -> io.FileIO:
    """Make an execution's `temp/` with many files, and open the first of them."""
    temp = root.make_directory("b1").make_directory(OLD_ID).make_directory("temp")
    for name in _NAMES[1:]:
        temp.open_own_file(name).close()
    return temp.open_own_file(_NAMES[0])


# --- at the worst moment ---------------------------------------------------------------------


class Swap(faults.Fault):
    """Puts a link in the place of a directory while S3 is asked."""

    def __init__(self, place: Path, target: Path) -> None:
        self.place = place
        self.target = target

    def request_head(self, waiting: object) -> None:
        if not self.place.is_symlink():
            self.place.rename(self.place.parent.parent / "aside")
            self.place.symlink_to(self.target)


def test_the_next_execution_that_becomes_a_link_is_left(
    scene: Scene, tree: BenchTree, elsewhere: Path
) -> None:
    tree.write("raw/a", b"honest")
    tree.write("raw/0", b"other", execution_id=OTHER_ID)
    before = files_of(elsewhere)
    swap = Swap(tree.directory(OTHER_ID), elsewhere)
    scene.recorder.inject(swap, "ListObjectsV2", times=1)
    result = scene.cli(*tree.arguments, "--retain", "0s")
    assert result.exit_code == 3
    assert f"cannot read {tree.directory(OTHER_ID)}: not a directory, or a link" in result.err
    assert stored(scene) == {b"honest"}
    assert files_of(elsewhere) == before


def test_raw_that_becomes_a_link_before_it_is_cleaned_is_left(
    scene: Scene, tree: BenchTree, elsewhere: Path
) -> None:
    large = content(PART + 5)
    tree.write("raw/0", large)
    (elsewhere / "raw" / "0").write_bytes(large)
    before = files_of(elsewhere)
    scene.recorder.inject(Swap(tree.directory() / "raw", elsewhere / "raw"), "UploadPart", times=1)
    scene.cli(*tree.arguments, "--retain", "0s")
    scene.cli(*tree.arguments, "--retain", "0s")
    assert files_of(elsewhere) == before
    assert stored(scene) <= {large}


def test_an_execution_that_becomes_a_link_while_it_is_compared_loses_nothing(
    scene: Scene, tree: BenchTree, elsewhere: Path
) -> None:
    tree.write("raw/0", b"secret")
    tree.write("temp/0", b"x")
    scene.cli(*tree.arguments, "--keep").ok()
    before = files_of(elsewhere)
    scene.recorder.inject(Swap(tree.directory(), elsewhere), "HeadObject", times=1)
    scene.cli(*tree.arguments, "--retain", "0s")
    assert files_of(elsewhere) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what its users may not")
def test_a_second_name_of_somebody_elses_file_is_not_stored(scene: Scene, tree: BenchTree) -> None:
    (scene.directory / "secret").write_bytes(b"of root")
    (scene.directory / "secret").chmod(0o600)
    raw = tree.write("raw/own.txt", b"own").parent
    os.chown(raw / "own.txt", 54321, 54321)
    os.link(raw / "own.txt", raw / "own-2.txt")
    os.link(scene.directory / "secret", raw / "planted")
    os.chown(raw, 54321, 54321)
    raw.chmod(0o755)
    failed = scene.cli(*tree.arguments).expect(3)
    assert "planted: it has another name" in failed.err
    assert stored(scene) == {b"own"}
