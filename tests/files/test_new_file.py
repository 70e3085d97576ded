"""Files that are there as a whole or not at all, and never in the place of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.files import new_file
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.new_file import create_atomically, give_name


@pytest.fixture(params=["nameless", "named", "no links"])
def opened(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Directory]:
    """A directory on file systems that can do more or less."""
    if request.param != "nameless":
        monkeypatch.setattr(new_file, "_NAMELESS", None)
    if request.param == "no links":

        def refuse(self: Directory, name: str, new_name: str) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Directory, "link", refuse)
    with Directory.open_root(tmp_path) as directory:
        yield directory


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("durable", [False, True])
def test_a_file_gets_its_name_when_it_is_whole(
    opened: Directory, tmp_path: Path, replace: bool, durable: bool
) -> None:
    with create_atomically(opened, "a", replace=replace, durable=durable) as file:
        write_all(file.fileno(), b"content" * 100_000)
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"content" * 100_000
    (tmp_path / "usual").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").unlink()
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("planted", ["file", "link", "dangling"])
def test_nothing_is_overwritten_unasked(opened: Directory, tmp_path: Path, planted: str) -> None:
    (tmp_path / "other").write_bytes(b"other")
    if planted == "file":
        (tmp_path / "a").write_bytes(b"other")
    else:
        (tmp_path / "a").symlink_to("other" if planted == "link" else "nowhere")
    with pytest.raises(FileExistsError), create_atomically(opened, "a") as file:
        write_all(file.fileno(), b"ours")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert sorted(os.listdir(tmp_path)) == ["a", "other"]


def test_what_appears_meanwhile_is_not_overwritten(opened: Directory, tmp_path: Path) -> None:
    making = create_atomically(opened, "a")
    write_all(making.__enter__().fileno(), b"ours")
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        making.__exit__(None, None, None)
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_is_replaced_and_not_written_through(opened: Directory, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to("other")
    with create_atomically(opened, "a", replace=True) as file:
        write_all(file.fileno(), b"ours")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"ours"
    assert sorted(os.listdir(tmp_path)) == ["a", "other"]


def test_a_failure_leaves_everything_as_it_was(opened: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")

    def fail() -> None:
        with create_atomically(opened, "a", replace=True) as file:
            write_all(file.fileno(), b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "a").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a"]


def test_it_is_made_where_the_directory_is_now(opened: Directory, tmp_path: Path) -> None:
    with opened.make_directory("in") as inside, create_atomically(inside, "a") as file:
        write_all(file.fileno(), b"ours")
        (tmp_path / "out").mkdir()
        (tmp_path / "in").rename(tmp_path / "moved")
        (tmp_path / "in").symlink_to("out")
    assert os.listdir(tmp_path / "out") == []
    assert (tmp_path / "moved" / "a").read_bytes() == b"ours"


def test_a_name_is_given_once(opened: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        give_name(opened, "a", "b", replace=False)
    give_name(opened, "a", "c", replace=False)
    give_name(opened, "c", "b", replace=True)
    assert (tmp_path / "b").read_bytes() == b"a"
    assert os.listdir(tmp_path) == ["b"]
