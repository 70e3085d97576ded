"""Choose files of an execution by path, by log name or by glob."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.listing import list_all_files
from orchestrator_cli.core.executions.placement import log_storage_path, storage_path_for
from orchestrator_cli.core.s3.types import ObjectSummary
from orchestrator_cli.core.s3.writer import ArtifactStore


def select_files(
    store: ArtifactStore, execution_id: str, patterns: Iterable[str]
) -> Iterator[tuple[str, ObjectSummary]]:
    """Yield (path, object) of the files that match a pattern, or of all where there is none.

    A pattern is a path, the name under which a file was uploaded (`results.json`), the name of a
    log (`stdout`), a directory (`artifacts/traces/`) or a glob in which `*` also matches `/`.
    Raises NotFoundError at the end, naming a pattern that matched nothing, and where there is no
    such execution.
    """
    return filter_files(list_all_files(store, execution_id), execution_id, patterns)


def filter_files(
    files: Iterable[tuple[str, ObjectSummary]], execution_id: str, patterns: Iterable[str]
) -> Iterator[tuple[str, ObjectSummary]]:
    """Yield those of an execution's files that match a pattern, as `select_files` does."""
    missing = dict.fromkeys(patterns)
    wanted = list(missing)
    for path, listed in files:
        matching = [pattern for pattern in wanted if matches(path, pattern)]
        for pattern in matching:
            missing.pop(pattern, None)
        if matching or not wanted:
            yield path, listed
    if missing:
        names = ", ".join(printable(pattern) for pattern in missing)
        raise NotFoundError(
            f"no such file in {execution_id}: {names}",
            hint=f"`orchestrator ls {execution_id}` lists its files",
        )


def placed(name: str) -> str | None:
    """Return the path that an upload would have given to a file of this name, if to any."""
    try:
        return storage_path_for(name)
    except UsageError:
        return None


def matches(path: str, pattern: str) -> bool:
    """Say whether a path is meant by a pattern."""
    if path in (pattern, log_storage_path(pattern), placed(pattern)):
        return True
    return path.startswith(pattern.rstrip("/") + "/") or fnmatchcase(path, pattern)
