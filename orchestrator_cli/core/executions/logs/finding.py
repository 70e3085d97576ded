"""Find a log of an execution, and where its last lines begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from orchestrator_cli.core.base.errors import (
    AccessError,
    ArchivedError,
    IntegrityError,
    NotFoundError,
    UsageError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import (
    LOG_NAMES,
    artifact_key,
    execution_prefix,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listings.executions import (
    check_exists,
    list_files,
    no_such_execution,
)
from orchestrator_cli.core.executions.logs.names import DEFAULT_ORDER, ORDER_AFTER_FAILURE
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary

T = TypeVar("T")

# Enough for many screens, little enough for a poor network.
FIRST_BYTES = 256 * 1024
LOGS_FOLDER = "logs/"
_TAIL_STEP_BYTES = 64 * 1024
_LARGEST_TAIL_STEP_BYTES = 4 * MIB
# How many files are searched for a name that is close to a misspelt one.
_NEAR_NAMES = 1000


class StoredLogs(NamedTuple):
    """The logs of an execution by name, the most useful one first."""

    logs: dict[str, ObjectSummary]
    has_failed: bool
    is_running: bool

    def sizes(self, live: Mapping[str, int] | None = None) -> dict[str, int]:
        """Return how long each log is, with those that are not stored yet, in the same order."""
        sizes = {**(live or {}), **{name: log.size_bytes for name, log in self.logs.items()}}
        order = [name for name in _order(self.has_failed) if name in sizes]
        return {name: sizes[name] for name in dict.fromkeys([*order, *sizes])}


def list_logs(
    store: ObjectReader, execution_id: str, read_record: Callable[[str], dict[str, Any]]
) -> StoredLogs:
    """Return the logs of an execution, by two requests. Raises NotFoundError.

    `read_record` returns its metadata as it is: to validate it would take longer than to read most
    logs.
    """
    # Who names a log needs no record.
    from orchestrator_cli.core.executions.record.status_probe import is_running

    listed = list(store.list_objects(execution_prefix(execution_id) + LOGS_FOLDER))
    record = _read_record(execution_id, read_record)
    if record is None and not listed:
        raise no_such_execution(store, execution_id)
    record = record or {}
    has_failed = record.get("result") in ("fail", "error")
    parsed = ((parse_artifact_key(log.key), log) for log in listed)
    found = {log_name(path[1]): log for path, log in parsed if path and log_name(path[1])}
    logs = {name: found[name] for name in _order(has_failed) if name in found}
    return StoredLogs(logs, has_failed, is_running(record))


def _order(has_failed: bool) -> tuple[str, ...]:
    return ORDER_AFTER_FAILURE if has_failed else DEFAULT_ORDER


def first_log(sizes: Mapping[str, int]) -> str | None:
    """Return the name of the first log that is not empty, or of the first one, or None."""
    filled = (name for name, size_bytes in sizes.items() if size_bytes)
    return next(filled, next(iter(sizes), None))


def _read_record(
    execution_id: str, read_record: Callable[[str], dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the metadata, {} where it cannot be read, None where there is none."""
    try:
        return read_record(execution_id)
    except NotFoundError:
        return None
    except (AccessError, ArchivedError, IntegrityError):
        return {}


def log_name(path: str) -> str:
    """Return the name of a log from its path: `stdout`; "" for what is no log."""
    is_log = path.startswith(LOGS_FOLDER) and path.removeprefix(LOGS_FOLDER) in LOG_NAMES
    return path.removeprefix(LOGS_FOLDER).removesuffix(".log") if is_log else ""


def find_log(store: ObjectReader, execution_id: str, name: str) -> ObjectMetadata:
    """Return the head of a log, or of the file of that path. Raises NotFoundError."""
    return _look(store, execution_id, name, store.head_fast)


def open_log_with_prefix(
    store: ObjectReader, execution_id: str, name: str
) -> tuple[ObjectMetadata, memoryview]:
    """Return the head of a log as `find_log` does, and its first bytes, in one request.

    There are none of an archived log. Raises NotFoundError.
    """

    def begin(key: str) -> tuple[ObjectMetadata, memoryview]:
        try:
            return store.get_prefix(key, FIRST_BYTES)
        except ArchivedError:
            return store.head_fast(key), memoryview(b"")

    return _look(store, execution_id, name, begin)


def _look(store: ObjectReader, execution_id: str, name: str, look: Callable[[str], T]) -> T:
    try:
        key = artifact_key(execution_id, log_storage_path(name) or name)
    except UsageError as error:
        # Nothing can be stored under such a name.
        raise no_such_log(store, execution_id, name) from error
    with suppress_unless_fatal(NotFoundError):
        return look(key)
    raise no_such_log(store, execution_id, name)


def no_such_log(store: ObjectReader, execution_id: str, name: str | None) -> NotFoundError:
    """Return the error for a log that is not there, with the name that was probably meant."""
    # The response to a mere look-up does not tell that the bucket is missing.
    check_exists(store, execution_id)
    if name is None:
        message = f"no log in {execution_id}"
    else:
        message = f"no such log in {execution_id}: {printable(name)}"
    near = _nearest_name(store, execution_id, name) if name else None
    meant = f"did you mean {printable(near)}? " if near else ""
    return NotFoundError(message, hint=f"{meant}`orchestrator ls {execution_id}` lists its files")


def _nearest_name(store: ObjectReader, execution_id: str, name: str) -> str | None:
    if log_storage_path(name) is not None:
        # It is no mistake; there is no such log yet.
        return None
    import difflib

    paths = [path for path, _ in islice(list_files(store, execution_id), _NEAR_NAMES)]
    known = [*DEFAULT_ORDER, *LOG_NAMES, *paths]
    return next(iter(difflib.get_close_matches(name, known, 1)), None)


def tail_offset(
    store: ObjectReader, key: str, size_bytes: int, lines: int, floor_bytes: int = 0
) -> int:
    """Return the offset at which the last lines of a text begin, `floor_bytes` at least.

    Reads backwards in growing steps, so what is moved follows what is shown, not the size.
    A last line without a newline counts.
    """
    if lines <= 0 or size_bytes == 0:
        return size_bytes
    wanted, end, step = lines, size_bytes, _TAIL_STEP_BYTES
    while end > floor_bytes:
        start = max(floor_bytes, end - step)
        block = bytes(store.get_range(key, start, end - start, object_bytes=size_bytes))
        if end == size_bytes and block.endswith(b"\n"):
            wanted += 1
        position = _nth_last_newline(block, wanted)
        if position is not None:
            return start + position + 1
        wanted -= block.count(b"\n")
        end, step = start, min(step * 4, _LARGEST_TAIL_STEP_BYTES)
    return floor_bytes


def _nth_last_newline(block: bytes, count: int) -> int | None:
    position = len(block)
    for _ in range(count):
        position = block.rfind(b"\n", 0, position)
        if position < 0:
            return None
    return position
