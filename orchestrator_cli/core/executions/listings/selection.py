"""Choose files of an execution by path, by log name or by glob."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.listings.executions import ListedFile, list_all_files
from orchestrator_cli.core.executions.placement import log_storage_path, storage_path_for
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.listing import ListQuery
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary


def select_files(
    store: ObjectReader, execution_id: str, patterns: Iterable[str]
) -> Iterator[ListedFile]:
    """Yield (path, object) of the files that match a pattern, or of all where there is none.

    A pattern is a path, the name under which a file was uploaded (`results.json`), the name of a
    log (`stdout`), a directory (`artifacts/traces/`) or a glob in which `*` also matches `/`. Where
    there is a file of exactly that name, it alone is meant; where all are such names, no others
    are listed. Raises NotFoundError at the end, naming a pattern that matched nothing, and where
    there is no such execution.
    """
    wanted = list(dict.fromkeys(patterns))
    named = _find_named(store, execution_id, wanted)
    if wanted and len(named) == len(wanted):
        yield from sorted(dict(named.values()).items(), key=lambda item: item[1].key.encode())
        return
    exact = {pattern: path for pattern, (path, _) in named.items()}
    yield from _filter(list_all_files(store, execution_id), execution_id, wanted, exact)


def filter_files(
    files: Sequence[ListedFile], execution_id: str, patterns: Iterable[str]
) -> Iterator[ListedFile]:
    """Yield those of all files of an execution that match a pattern, as `select_files` does."""
    wanted = list(dict.fromkeys(patterns))
    paths = {path for path, _ in files}
    found = ((one, next((path for path in _names(one) if path in paths), None)) for one in wanted)
    yield from _filter(files, execution_id, wanted, {one: path for one, path in found if path})


def _filter(
    files: Iterable[ListedFile], execution_id: str, wanted: list[str], exact: Mapping[str, str]
) -> Iterator[ListedFile]:
    """Yield the files that match; `exact` maps patterns to the only path that they mean."""
    missing = dict.fromkeys(wanted)
    for path, listed in files:
        matching = [
            pattern
            for pattern in wanted
            if (path == exact[pattern] if pattern in exact else _is_within(path, pattern))
        ]
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


def _find_named(
    store: ObjectReader, execution_id: str, patterns: list[str]
) -> dict[str, ListedFile]:
    """Return the files that have exactly the name of a pattern, by pattern; a request each."""
    asked = [(pattern, path) for pattern in patterns for path in _names(pattern)]
    found: dict[str, ListedFile] = {}
    looked_up = store.map_operations(_find(store, execution_id, path) for _, path in asked)
    for (pattern, path), listed in zip(asked, looked_up, strict=True):
        if listed is not None:
            found.setdefault(pattern, (path, listed))
    return found


def _find(store: ObjectReader, execution_id: str, path: str) -> Operation[ObjectSummary | None]:
    try:
        key = artifact_key(execution_id, path)
    except UsageError:
        # Nothing can be stored under such a name, such as that of a directory.
        return None
    # Of all keys that begin so, the key itself comes first.
    page = yield from store.index.list_page(ListQuery(key, page_size=1))
    return page.objects[0] if page.objects and page.objects[0].key == key else None


def _names(pattern: str) -> tuple[str, ...]:
    """Return the paths that a file of this name may have, the one to prefer first."""
    names = (pattern, log_storage_path(pattern), _path_of_upload(pattern))
    return tuple(dict.fromkeys(filter(None, names)))


def _path_of_upload(name: str) -> str | None:
    try:
        return storage_path_for(name)
    except UsageError:
        return None


def _is_within(path: str, pattern: str) -> bool:
    """Return True for a path in a directory of that name, or one that the glob matches."""
    return path.startswith(pattern.rstrip("/") + "/") or fnmatchcase(path, pattern)
