"""Standard input as a stream to upload, and live where that is asked for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from orchestrator_cli.core.live.store import LiveStore
    from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream


@contextlib.contextmanager
def open_input(
    stdin: TextIO, path: str, live_store: LiveStore | None, warn: Callable[[str], None]
) -> Iterator[BinaryStream]:
    """Return standard input as a stream, which is also written to `live_store` where there is one.

    `warn` is told what keeps it from being written live.
    """
    if live_store is None:
        yield cast("BinaryStream", stdin.buffer)
        return
    from orchestrator_cli.core.executions.keys import live_log_name
    from orchestrator_cli.core.live.schedule import LiveSchedule
    from orchestrator_cli.core.live.segmented_log import SegmentedLog
    from orchestrator_cli.core.live.state import LiveState
    from orchestrator_cli.core.live.stream import LiveStream, WaitingBytes
    from orchestrator_cli.core.live.writer import LiveWriter

    waiting = WaitingBytes()
    writer = LiveWriter(
        live_store,
        LiveState(os.urandom(16).hex(), socket.gethostname(), os.getpid()),
        [SegmentedLog(live_log_name(path), waiting)],
        LiveSchedule(),
        warn,
    )
    # The buffered stream would wait for a buffer full of lines.
    raw = cast("BinaryStream", getattr(stdin.buffer, "raw", stdin.buffer))
    with contextlib.closing(LiveStream(raw, waiting, writer)) as stream:
        stream.start()
        yield stream
