"""One name at a time, of the kind that was asked for, and nothing that a link leads to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_cli.core.files.checks import UnsafeFileError, check_not_planted, split_path
from orchestrator_cli.core.files.directory import Directory, FileKind
from orchestrator_cli.core.files.removal import remove_tree

BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0b", "../x"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with one of each kind, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_bytes(b"kept")
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_bytes(b"content")
    (place / "directory").mkdir()
    (place / "to-secret").symlink_to("../secret")
    (place / "to-outside").symlink_to("../outside")
    (place / "dangling").symlink_to("../nowhere")
    os.mkfifo(place / "fifo")
    return place


@pytest.fixture
def opened(place: Path) -> Iterator[Directory]:
    with Directory.open_root(place) as directory:
        yield directory


def test_a_root_may_be_named_through_a_link(place: Path) -> None:
    (place.parent / "link").symlink_to(place)
    with Directory.open_root(place.parent / "link") as directory:
        assert directory.stat("file").st_size == 7


@pytest.mark.parametrize("name", BAD_NAMES)
def test_only_single_names_are_taken(opened: Directory, name: str) -> None:
    calls = [
        opened.stat,
        opened.read_link,
        opened.open_directory,
        opened.open_file,
        opened.open_own_file,
        opened.create_file,
        opened.make_directory,
        opened.remove_file,
        opened.remove_directory,
        lambda name: opened.rename(name, "x"),
        lambda name: opened.rename("file", name),
        lambda name: opened.link(name, "x"),
        lambda name: opened.link("file", name),
        lambda name: remove_tree(opened, name),
    ]
    for call in calls:
        with pytest.raises(UnsafeFileError, match="not the name of a file"):
            call(name)


def test_a_path_is_taken_apart() -> None:
    assert split_path("a/b c/\udce9") == ("a", "b c", "\udce9")
    for path in ("/a", "a/", "a//b", "a/../b", "./a", "", "a/\0"):
        with pytest.raises(UnsafeFileError):
            split_path(path)


def test_all_names_are_found_in_the_order_of_keys(opened: Directory, place: Path) -> None:
    (place / "directory-2").write_bytes(b"")
    kinds = {found.name: found.kind for found in opened.scan()}
    assert list(kinds) == [
        "dangling",
        "directory-2",
        "directory",  # its keys go on with a slash, which sorts after the dash
        "fifo",
        "file",
        "to-outside",
        "to-secret",
    ]
    assert kinds["directory"] is FileKind.DIRECTORY
    assert kinds["to-outside"] is FileKind.LINK
    assert kinds["fifo"] is FileKind.SPECIAL
    # Scanning leaves no position behind.
    assert len(opened.scan()) == len(kinds)


def test_names_need_not_be_text(opened: Directory) -> None:
    opened.create_file("caf\udce9").close()
    assert "caf\udce9" in {found.name for found in opened.scan()}
    opened.remove_file("caf\udce9")


@pytest.mark.parametrize("name", ["to-secret", "to-outside", "dangling", "fifo", "directory"])
def test_only_regular_files_are_opened(opened: Directory, name: str, place: Path) -> None:
    for opening in (opened.open_file, opened.open_own_file):
        with pytest.raises(OSError, match=r"regular file|Is a directory"):
            opening(name)
    assert not (place.parent / "nowhere").exists()


@pytest.mark.parametrize("name", ["to-outside", "dangling", "fifo", "file"])
def test_only_directories_are_entered(opened: Directory, name: str) -> None:
    for opening in (opened.open_directory, opened.make_directory):
        with pytest.raises(UnsafeFileError, match="not a directory, or a link"):
            opening(name)
    with pytest.raises(UnsafeFileError):
        remove_tree(opened, name)


@pytest.mark.parametrize("name", ["file", "directory", "to-secret", "dangling", "fifo"])
def test_what_is_made_anew_takes_no_name_that_is_taken(opened: Directory, name: str) -> None:
    with pytest.raises(FileExistsError):
        opened.create_file(name)
    with pytest.raises(FileExistsError):
        opened.make_directory(name, fresh=True)


def test_a_file_with_another_name_is_not_written_to(opened: Directory, place: Path) -> None:
    (place / "planted").hardlink_to(place.parent / "secret")
    with pytest.raises(UnsafeFileError, match="another name"):
        opened.open_own_file("planted")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_a_file_of_another_user_is_not_written_to(opened: Directory, place: Path) -> None:
    os.chown(place / "file", 65534, 65534)
    with pytest.raises(UnsafeFileError, match="another user"):
        opened.open_own_file("file")


def test_a_file_is_removed_only_if_it_is_the_one_that_was_seen(
    opened: Directory, place: Path
) -> None:
    seen = opened.stat("file")
    os.rename(place / "file", place / "other")
    (place / "file").write_bytes(b"content")
    with pytest.raises(UnsafeFileError, match="replaced or written to"):
        opened.remove_file("file", expected=seen)
    assert (place / "file").exists()
    opened.remove_file("file", expected=opened.stat("file"))
    assert not (place / "file").exists()


def test_a_file_that_somebody_else_is_removing_is_gone_and_not_another(
    opened: Directory, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status that is asked for by name may be that of the file without its last name."""
    seen = opened.stat("file")
    with open(place / "file", "rb") as held:
        (place / "file").unlink()
        removed = os.fstat(held.fileno())
        monkeypatch.setattr(Directory, "stat", lambda directory, name: removed)
        with pytest.raises(FileNotFoundError):
            opened.remove_file("file", expected=seen)


def test_removing_a_link_leaves_what_it_leads_to(opened: Directory, place: Path) -> None:
    opened.remove_file("to-secret")
    assert (place.parent / "secret").read_bytes() == b"secret"
    with pytest.raises(OSError, match="directory"):
        opened.remove_directory("to-outside")


def test_it_stays_the_same_directory_whatever_its_name_stands_for(
    opened: Directory, place: Path
) -> None:
    place.rename(place.parent / "moved")
    place.symlink_to("outside")
    opened.create_file("new").close()
    assert (place.parent / "moved" / "new").exists()
    assert [path.name for path in (place.parent / "outside").iterdir()] == ["kept"]


def test_it_closes_with_its_last_reference(place: Path) -> None:
    directory = Directory.open_root(place)
    descriptor = directory.fileno()
    shared = directory
    del directory
    os.fstat(descriptor)
    del shared
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize(
    ("names", "owner", "mode", "directory_owner", "is_root", "is_planted"),
    [
        (1, 0, 0o777, 7, True, False),
        (2, 0, 0o755, 7, True, True),
        (2, 0, 0o755, 0, True, False),
        (2, 0, 0o775, 0, True, True),
        (2, 0, 0o1777, 0, True, True),
        (2, 7, 0o700, 7, True, False),
        (2, 0, 0o755, 7, False, False),
    ],
)
def test_root_reads_no_file_that_others_may_have_linked_there(
    names: int, owner: int, mode: int, directory_owner: int, is_root: bool, is_planted: bool
) -> None:
    file = os.stat_result((0o100600, 1, 1, names, owner, 0, 0, 0, 0, 0))
    directory = os.stat_result((0o40000 | mode, 2, 1, 2, directory_owner, 0, 0, 0, 0, 0))
    planted = pytest.raises(UnsafeFileError) if is_planted else contextlib.nullcontext()
    with planted:
        check_not_planted(file, directory, "file", is_root=is_root)
