"""What an upload would do: walk the given paths and say where each file goes. Nothing is sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key, file_suffix
from orchestrator_cli.core.executions.placement import storage_path_for

# Chosen so that a browser shows text, JSON, images and HTML in place instead of saving them.
_TEXT_SUFFIXES = frozenset(
    ".log .txt .out .err .md .rst .csv .tsv .yaml .yml .toml .ini .cfg .conf .env .sh .py .c .h "
    ".cpp .rs .go .java .diff .patch .properties .tap .lcov .info".split()
)
_UNKNOWN_TYPE = "application/octet-stream"
_CONTENT_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".xml": "application/xml",
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".xz": "application/x-xz",
    ".bz2": "application/x-bzip2",
}


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file and where it goes. `path` is relative to the execution, `size_bytes` as seen now."""

    source: Path
    path: str
    key: str
    size_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class SkippedPath:
    """Something that is not uploaded. `error` is set where that is a failure, not a rule."""

    source: Path
    reason: str
    error: OrchestratorError | None = None


PlanItem = PlannedFile | SkippedPath


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Include and exclude globs on the path relative to its root; `*` also matches `/`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, relative: str) -> bool:
        """Say whether a file is selected."""
        wanted = not self.include or any(fnmatchcase(relative, glob) for glob in self.include)
        return wanted and not any(fnmatchcase(relative, glob) for glob in self.exclude)


def guess_content_type(path: str) -> str:
    """Return the Content-Type for a file name, without its content."""
    suffix = file_suffix(path)
    if suffix in _TEXT_SUFFIXES:
        return "text/plain; charset=utf-8"
    if suffix in _CONTENT_TYPES:
        return _CONTENT_TYPES[suffix]
    return _python_type(suffix) if suffix else _UNKNOWN_TYPE


@lru_cache(maxsize=256)
def _python_type(suffix: str) -> str:
    import mimetypes

    # Only the table inside Python: the system's would make the type depend on the host.
    guessed, encoding = mimetypes.MimeTypes().guess_type(f"x{suffix}")
    return guessed if guessed and not encoding else _UNKNOWN_TYPE


def plan_upload(
    execution_id: str, roots: Iterable[Path], selection: PathFilter, name: str | None = None
) -> Iterator[PlanItem]:
    """Yield every file under the roots, in a stable order, with where it goes or why it does not.

    A directory is its own root, a file's root is its parent. `name` replaces a single file's
    relative path. Memory is bounded by the largest single directory.
    """
    for root in roots:
        try:
            mode = root.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            error = NotFoundError(f"no such file: {printable(root)}")
            yield SkippedPath(root, "no such file", error)
        except OSError as error:
            yield unreadable(root, error)
        else:
            yield from _plan_root(execution_id, root, mode, selection, name)


def _plan_root(
    execution_id: str, root: Path, mode: int, selection: PathFilter, name: str | None
) -> Iterator[PlanItem]:
    if stat.S_ISDIR(mode):
        yield from _plan_directory(execution_id, root, selection)
    elif not stat.S_ISREG(mode):
        yield SkippedPath(root, "not a regular file")
    elif selection.takes(root.name):
        yield _plan_file(execution_id, root, name or root.name, root.stat)


def _plan_directory(execution_id: str, root: Path, selection: PathFilter) -> Iterator[PlanItem]:
    # pathlib would take longer to cut the root off than the file takes to be sent.
    inside = len(os.path.join(root, ""))
    for item in _walk(root, os.path.realpath(root)):
        if isinstance(item, SkippedPath):
            # What cannot be read is told even so: it may hold what is selected.
            if item.error or selection.takes(str(item.source.relative_to(root))):
                yield item
            continue
        relative = item.path[inside:]
        if selection.takes(relative):
            yield _plan_file(execution_id, Path(item.path), relative, item.stat)


def _walk(root: Path, real_root: str) -> Iterator[os.DirEntry[str] | SkippedPath]:
    # With a stack of its own: a tree may be deeper than Python recurses.
    stack = [_scan(os.fspath(root))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, SkippedPath):
            yield entry
        elif entry.is_symlink():
            yield _follow_link(entry, root, real_root)
        elif entry.is_dir(follow_symlinks=False):
            stack.append(_scan(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry
        else:
            yield SkippedPath(Path(entry.path), "not a regular file")


def _scan(directory: str) -> Iterator[os.DirEntry[str] | SkippedPath]:
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        yield unreadable(Path(directory), error)
    else:
        yield from entries


def _follow_link(
    entry: os.DirEntry[str], root: Path, real_root: str
) -> os.DirEntry[str] | SkippedPath:
    target = os.path.realpath(entry.path)
    if not os.path.exists(target):
        return SkippedPath(Path(entry.path), "the link leads nowhere")
    if os.path.commonpath([target, real_root]) != real_root:
        return SkippedPath(Path(entry.path), f"the link leaves {printable(root)}")
    if os.path.isfile(target):
        return entry
    # What is behind it is uploaded from its real place; following could never end.
    return SkippedPath(Path(entry.path), "a link to a directory or special file")


def _plan_file(
    execution_id: str, source: Path, relative: str, look: Callable[[], os.stat_result]
) -> PlanItem:
    try:
        path = storage_path_for(relative)
        key = artifact_key(execution_id, path)
        size_bytes = look().st_size
    except UsageError as error:
        return SkippedPath(source, error.message, error)
    except OSError as error:
        return unreadable(source, error)
    return PlannedFile(source, path, key, size_bytes, guess_content_type(path))


def unreadable(path: Path, error: OSError) -> SkippedPath:
    """Return what is told of a file or directory that cannot be read."""
    reason = f"cannot read {printable(path)}: {error.strerror}"
    return SkippedPath(path, reason, OrchestratorError(reason))
