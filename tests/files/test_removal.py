"""What is removed is what was named, wherever its directories are moved meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_cli.core.files.checks import UnsafeFileError
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.removal import remove_tree
from tests.files.flipping import flipping
from tests.support.scene import write_tree

_TRIES = 800
_MOST_TRIES = 100_000


def remove(root: Path, name: str) -> None:
    with Directory.open_root(root) as parent:
        remove_tree(parent, name)


def test_all_of_a_tree_is_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"t/a/b/c": "", "t/a/d": "", "t/e": "", "kept": ""})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"")
    (root / "t" / "a" / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "t" / "fifo")
    remove(root, "t")
    assert os.listdir(root) == ["kept"]
    assert (tmp_path / "outside" / "x").exists()


def test_a_link_in_the_place_of_the_tree_is_left(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"kept/x": ""})
    (tmp_path / "t").symlink_to(root)
    with pytest.raises(UnsafeFileError):
        remove(tmp_path, "t")
    assert (root / "kept" / "x").exists()


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove(tmp_path, "d")
    assert os.listdir(tmp_path) == []


def test_a_directory_that_was_moved_away_is_not_gone_up_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "tree", {"t/a/b/c": "", "t/z": ""})
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (outside / "kept").write_bytes(b"")
    remove_file = Directory.remove_file

    def moving(self: Directory, name: str) -> None:
        remove_file(self, name)
        if name == "c":
            # The parent of where the removal is now is elsewhere, and has a `b` of its own.
            (root / "t" / "a" / "b").rename(outside / "other")

    monkeypatch.setattr(Directory, "remove_file", moving)
    with pytest.raises(UnsafeFileError, match="moved"):
        remove(root, "t")
    assert sorted(os.listdir(outside)) == ["b", "kept", "other"]


def test_a_directory_that_is_now_and_then_a_link_leads_to_no_other(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    names = sorted(map(str, range(30)))
    outside.mkdir()
    for name in names:
        (outside / name).write_bytes(b"kept")
    root = tmp_path / "root"
    (root / "z").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    removed = refused = 0
    with flipping(root, "z", "link"), Directory.open_root(root) as opened:
        for number in range(_MOST_TRIES):
            try:
                with opened.make_directory("z") as inside:
                    for name in names:
                        inside.create_file(name).close()
                remove_tree(opened, "z")
                removed += 1
            except OSError:
                refused += 1
            assert sorted(os.listdir(outside)) == names
            if number >= _TRIES and removed and refused:
                break
    assert removed
    assert refused
    assert {(outside / name).read_bytes() for name in names} == {b"kept"}


_REMOVE = """
import sys
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.removal import remove_tree
remove_tree(Directory.open_root(sys.argv[1]), "t")
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="only Linux has mounts of one's own")
@pytest.mark.parametrize("place", ["t", "t/a"])
def test_what_is_mounted_in_a_tree_is_left(tmp_path: Path, place: str) -> None:
    root = write_tree(tmp_path / "tree", {"t/a/b": ""})
    # On the same device: only its mount tells.
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"")
    # The mount ends with the process.
    script = 'mount --bind "$1" "$2" || exit 77; exec "$3" -c "$4" "$5"'
    words = (str(tmp_path / "outside"), str(root / place), sys.executable, _REMOVE, str(root))
    line = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    if result.returncode == 77 or "unshare failed" in result.stderr:
        pytest.skip("nothing can be mounted here")
    assert "another directory is mounted there" in result.stderr
    assert (tmp_path / "outside" / "x").exists()
