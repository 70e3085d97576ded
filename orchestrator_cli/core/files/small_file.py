"""Read settings files, which are small: a FIFO, a device or a huge file is refused."""

from __future__ import annotations

import os
import stat

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

_MAX_SETTINGS_BYTES = 1024 * 1024
# A bundle of certificates has some hundred KiB, AWS's files of thousands of profiles a few MiB.
_MAX_LIBRARY_BYTES = 16 * 1024 * 1024


def read_small_file(path: str | os.PathLike[str]) -> tuple[str, os.stat_result]:
    """Return the text of a file, and what `fstat` said of it when it was opened.

    A FIFO, a directory, a device that never ends, a file over a MiB and one that is not UTF-8 are a
    UsageError, as is one that cannot be read.
    """
    content, found = _read(path, _MAX_SETTINGS_BYTES)
    try:
        return content.decode(), found
    except UnicodeDecodeError as error:
        raise UsageError(f"{printable(path)} is not UTF-8") from error


def check_small_file(setting: str, path: str | os.PathLike[str]) -> None:
    """Raise UsageError, which names the setting, for what must not be given to a library to read.

    Libraries wait for the writer of a FIFO, and read what never ends until memory does.
    """
    try:
        _read(path, _MAX_LIBRARY_BYTES)
    except UsageError as error:
        raise UsageError(f"{setting}: {error.message}", is_fatal=True) from error


def _read(path: str | os.PathLike[str], max_bytes: int) -> tuple[bytes, os.stat_result]:
    name = printable(path)
    try:
        # Opening a FIFO for reading would wait for its writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            # /dev/null is a file of no settings; what never ends is cut off below.
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISCHR(found.st_mode)):
                raise UsageError(f"{name} is not a regular file")
            # The size alone proves nothing: some file systems say 0.
            content = b"" if found.st_size > max_bytes else file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if max(found.st_size, len(content)) > max_bytes:
        raise UsageError(f"{name} is larger than {max_bytes:,} bytes")
    return content, found
