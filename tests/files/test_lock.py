"""Locks that wait for others, hang on nothing, and follow no link; directories of our own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_cli.core.files.checks import UnsafeFileError
from orchestrator_cli.core.files.directory import Directory, private_directory
from orchestrator_cli.core.files.lock import lock_file, try_lock

_NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Directory]:
    with Directory.open_root(tmp_path) as directory:
        yield directory


class Pauses:
    """A clock that goes on only as it is waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_lock_is_held_by_one(opened: Directory) -> None:
    pauses = Pauses()
    with lock_file(opened, "lock", 5, pauses):
        assert pauses.seconds == 0
        with pytest.raises(BlockingIOError), lock_file(opened, "lock", 5, pauses):
            pass
        assert pauses.seconds == pytest.approx(5, abs=0.03)
    with lock_file(opened, "lock", 5, pauses):
        pass
    assert pauses.seconds == pytest.approx(5, abs=0.03)


def test_who_waits_gets_it_once_it_is_free(opened: Directory) -> None:
    first = lock_file(opened, "lock", 5)
    first.__enter__()

    def pause(seconds: float) -> None:
        first.__exit__(None, None, None)

    with lock_file(opened, "lock", 5, pause):
        pass


def test_a_lock_that_was_replaced_while_it_was_waited_for_is_taken_anew(
    opened: Directory, tmp_path: Path
) -> None:
    held = lock_file(opened, "lock", 5)
    held.__enter__()

    def pause(seconds: float) -> None:
        (tmp_path / "lock").unlink()
        held.__exit__(None, None, None)

    with lock_file(opened, "lock", 5, pause), opened.open_file("lock") as named:
        assert not try_lock(named.fileno())


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_planted_link_is_not_followed(opened: Directory, tmp_path: Path, target: str) -> None:
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(UnsafeFileError, match="link"), lock_file(opened, "lock", 5):
        pass
    assert sorted(os.listdir(tmp_path)) == ["lock", "victim"]
    assert (tmp_path / "victim").read_bytes() == b"kept"


def test_a_planted_fifo_does_not_hang(opened: Directory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(UnsafeFileError, match="regular"), lock_file(opened, "lock", 5):
        pass


@as_root
def test_a_lock_of_another_user_is_taken_only_in_that_users_directory(
    opened: Directory, tmp_path: Path
) -> None:
    (tmp_path / "lock").touch()
    os.chown(tmp_path / "lock", _NOBODY, _NOBODY)
    with pytest.raises(UnsafeFileError, match="another user"), lock_file(opened, "lock", 5):
        pass
    os.chown(tmp_path, _NOBODY, _NOBODY)
    with lock_file(opened, "lock", 5):
        pass


# --- directories of our own ------------------------------------------------------------------


def test_a_private_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "spool"
    with private_directory(path) as directory:
        directory.create_file("x").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with private_directory(path) as directory:
        assert directory.stat("x")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(mode)
    with pytest.raises(UnsafeFileError, match="other users may write"):
        private_directory(tmp_path / "spool")


def test_a_planted_link_or_file_is_no_private_directory(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("outside")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    for name in ("link", "dangling", "file"):
        with pytest.raises(UnsafeFileError, match="not a directory, or a link"):
            private_directory(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


@as_root
def test_one_that_another_user_has_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    os.chown(tmp_path / "spool", _NOBODY, _NOBODY)
    with pytest.raises(UnsafeFileError, match="another user"):
        private_directory(tmp_path / "spool")
