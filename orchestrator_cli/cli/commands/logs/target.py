"""Where a log goes: standard output, the pager, or a file."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, cast

from orchestrator_cli.cli.configuration.environment import pager_command, pager_environment
from orchestrator_cli.core.base.descriptors import widen_pipe
from orchestrator_cli.core.base.errors import CannotWriteError, ConflictError
from orchestrator_cli.core.base.text import printable

Blocks = Iterable[bytes | memoryview]


def write_stdout(blocks: Blocks) -> None:
    """Write the bytes as they arrive. Raises BrokenPipeError when the reader is gone."""
    sys.stdout.flush()
    rest, target = iter(blocks), sys.stdout.buffer
    _copy(islice(rest, 1), target)
    # Later, as `head` is to be gone before all that it does not want has found room.
    widen_pipe(target.fileno())
    _copy(rest, target)


def _copy(blocks: Blocks, target: IO[bytes] | BinaryIO) -> None:
    for block in blocks:
        target.write(block)
        target.flush()


# --- the pager -------------------------------------------------------------------------------


def find_pager() -> list[str] | None:
    """Return the pager's command: PAGER, or less; None where there is none or it is `cat`."""
    import shutil

    chosen = pager_command()
    if not chosen or chosen[0] == "cat" or shutil.which(chosen[0]) is None:
        return None
    return chosen


def write_pager(blocks: Blocks, pager: list[str]) -> None:
    """Show the bytes in the pager. Raises BrokenPipeError when it was left before their end."""
    import subprocess

    with (
        _ctrl_c_is_for_the_pager(),
        subprocess.Popen(pager, stdin=subprocess.PIPE, env=pager_environment()) as process,
        cast("IO[bytes]", process.stdin) as screen,
    ):
        _copy(blocks, screen)


@contextlib.contextmanager
def _ctrl_c_is_for_the_pager() -> Iterator[None]:
    """Ignore Ctrl-C here, as the pager has the terminal until it ends."""
    # A handler, because a child would inherit that a signal is ignored.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- a file ----------------------------------------------------------------------------------


def write_file(blocks: Blocks, path: Path, overwrite: bool) -> None:
    """Write a file that gets its name once it is whole; a device or a pipe is written to.

    Raises ConflictError where there is a file of other content, unless `overwrite`. What cannot be
    read leaves the file as it was.
    """
    from orchestrator_cli.core.files.new_file import write_atomically

    try:
        status = path.stat() if path.exists() else None
        if status is not None and not stat.S_ISREG(status.st_mode):
            with _open_special(path, status) as file:
                _copy(blocks, file)
        elif status is not None and not overwrite:
            _check_same(blocks, path)
        else:
            target = _replaced(path) if overwrite else path
            write_atomically(target, blocks, replace=overwrite)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        message = f"cannot write {printable(path)}: {error.strerror or error}"
        raise CannotWriteError(message) from error


@contextlib.contextmanager
def _open_special(path: Path, status: os.stat_result) -> Iterator[BinaryIO]:
    """Open a device or a pipe, and nothing that has taken its name meanwhile."""
    from orchestrator_cli.core.files.checks import UnsafeFileError, same_file

    with open(os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), "wb") as file:
        if not same_file(os.fstat(file.fileno()), status):
            raise UnsafeFileError("it was replaced meanwhile", str(path))
        yield file


def _replaced(path: Path) -> Path:
    """Return the path that `--overwrite` replaces: the target of our own link, or the path itself.

    Somebody else's link may have been planted.
    """
    is_our_link = path.is_symlink() and path.lstat().st_uid == os.geteuid()
    return path.resolve() if is_our_link else path


def _check_same(blocks: Blocks, path: Path) -> None:
    with path.open("rb") as file:
        for block in blocks:
            if file.read(len(block)) != block:
                raise _exists(path)
        if file.read(1):
            raise _exists(path)


def _exists(path: Path) -> ConflictError:
    return ConflictError(
        f"{printable(path)} exists with other content; nothing was changed",
        hint="--overwrite replaces it",
    )
