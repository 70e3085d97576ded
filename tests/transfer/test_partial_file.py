"""A partial download is written by one process at a time."""

from __future__ import annotations

import errno
import fcntl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.destination import Destination, DownloadDirectory
from orchestrator_cli.core.transfer.download.partial_file import partial_file

HEAD = ObjectMetadata("a", 5, "etag", "text/plain", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return DownloadDirectory(tmp_path).place("a")


def test_who_waits_for_another_process_gives_up_after_a_minute(place: Destination) -> None:
    pauses: list[float] = []
    expected = "a is being downloaded by another process"
    with partial_file(HEAD, place, pauses.append):
        assert pauses == []
        with (
            pytest.raises(ConflictError, match=expected),
            partial_file(HEAD, place, pauses.append),
        ):
            pass
    assert sum(pauses) == pytest.approx(60, abs=0.1)


def test_who_waits_goes_on_with_a_new_file_once_the_other_has_removed_its_own(
    place: Destination,
) -> None:
    first = partial_file(HEAD, place, lambda _: None)
    first.__enter__().append(b"hello")

    def pause(_: float) -> None:
        (part,) = place.path.parent.iterdir()
        part.unlink()
        first.__exit__(None, None, None)

    with partial_file(HEAD, place, pause) as second:
        assert second.size_bytes == 0


def test_a_file_system_without_locks_is_no_failure(
    place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with partial_file(HEAD, place, lambda _: None) as file:
        file.append(b"hello")
        assert file.size_bytes == 5
