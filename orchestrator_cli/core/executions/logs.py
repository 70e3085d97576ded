"""Find a log of an execution, and where its last lines begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestrator_cli.core.base.errors import ArchivedError, NotFoundError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key, metadata_key
from orchestrator_cli.core.executions.listing import no_such_execution
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.s3.writer import ArtifactStore

Found = TypeVar("Found")

# Enough for many screens, little enough for a poor network.
FIRST_BYTES = 256 * 1024
_DEFAULT_ORDER = ("stdout.log", "runner.log", "bench.log", "stderr.log")
_TAIL_STEP_BYTES = 64 * 1024
_LARGEST_TAIL_STEP_BYTES = 4 * MIB


def find_log(store: ArtifactStore, execution_id: str, name: str | None) -> ObjectMetadata:
    """Return the head of a log, or of the first there is where no name is given.

    Raises NotFoundError.
    """
    return _first_of(store, execution_id, name, store.glance)


def open_log_with_prefix(
    store: ArtifactStore, execution_id: str, name: str | None
) -> tuple[ObjectMetadata, memoryview]:
    """Return the head of a log as `find_log` does, and its first bytes, in one request.

    There are none of an archived log. Raises NotFoundError.
    """

    def begin(key: str) -> tuple[ObjectMetadata, memoryview]:
        try:
            return store.begin(key, FIRST_BYTES)
        except ArchivedError:
            return store.glance(key), memoryview(b"")

    return _first_of(store, execution_id, name, begin)


def _first_of(
    store: ArtifactStore, execution_id: str, name: str | None, look: Callable[[str], Found]
) -> Found:
    for key in _keys_of(execution_id, name):
        try:
            return look(key)
        except NotFoundError as error:
            if error.is_fatal:
                raise
    _check_execution(store, execution_id)
    raise NotFoundError(
        f"no such log in {execution_id}: {printable(name)}"
        if name
        else f"no log in {execution_id}",
        hint=f"`orchestrator ls {execution_id}` lists its files",
    )


def _keys_of(execution_id: str, name: str | None) -> list[str]:
    names = _DEFAULT_ORDER if name is None else (log_storage_path(name) or name,)
    try:
        return [artifact_key(execution_id, log_storage_path(one) or one) for one in names]
    except UsageError:
        # Nothing can be stored under such a name.
        return []


def _check_execution(store: ArtifactStore, execution_id: str) -> None:
    # Reads it, because the answer to a mere look-up does not tell a missing bucket.
    try:
        store.get(metadata_key(execution_id))
    except NotFoundError as error:
        if error.is_fatal:
            raise
        raise no_such_execution(store, execution_id) from error


def tail_offset(
    store: ArtifactStore, key: str, size_bytes: int, lines: int, floor_bytes: int = 0
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
        block = bytes(store.read_range(key, start, end - start))
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
