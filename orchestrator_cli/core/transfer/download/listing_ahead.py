"""List the files to download while the first ones arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.merging import merge, raise_errors
from orchestrator_cli.core.executions.listings.executions import ListedFile

# Files pass between the threads in batches: one by one would cost more than listing them. At most
# about 32 batches are in memory.
_BATCH_FILES = 256


def list_ahead(
    files: Iterator[ListedFile], on_listed: Callable[[int, int], None], stop: CancelToken
) -> Iterator[ListedFile]:
    """Yield the files in their order; a thread lists further ones meanwhile.

    `on_listed` is told how many files there are, and of how many bytes, once the last is listed,
    before the last batch is yielded. What listing raises, as of a pattern that matches nothing, is
    raised after the files that it found. `stop` ends the listing when the caller leaves.
    """
    for batch in raise_errors(merge([lambda: _batches(files, on_listed)], stop)):
        yield from batch


def _batches(
    files: Iterator[ListedFile], on_listed: Callable[[int, int], None]
) -> Iterator[list[ListedFile]]:
    batch: list[ListedFile] = []
    count = size_bytes = 0
    failure: OrchestratorError | None = None
    try:
        for file in files:
            if len(batch) == _BATCH_FILES:
                yield batch
                batch = []
            batch.append(file)
            count += 1
            size_bytes += file[1].size_bytes
    except OrchestratorError as error:
        failure = error
    on_listed(count, size_bytes)
    if batch:
        yield batch
    if failure is not None:
        raise failure
