"""Standard input as a stream to upload, and live where that is asked for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from orchestrator_cli.cli.app import App

if TYPE_CHECKING:
    from orchestrator_cli.core.gateway.client.connection import GatewayConnection
    from orchestrator_cli.core.live.store import LiveStore
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession
    from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream


@contextlib.contextmanager
def open_input(
    app: App, session: UploadSession, path: str, stdin: TextIO, *, live: bool
) -> Iterator[BinaryStream]:
    """Return standard input as a stream, which is also written live with `live`."""
    if not live:
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
        _store(session),
        LiveState(os.urandom(16).hex(), socket.gethostname(), os.getpid()),
        [SegmentedLog(live_log_name(path), waiting)],
        LiveSchedule(),
        app.messages.warn,
    )
    # The buffered stream would wait for a buffer full of lines.
    raw = cast("BinaryStream", getattr(stdin.buffer, "raw", stdin.buffer))
    with contextlib.closing(LiveStream(raw, waiting, writer)) as stream:
        stream.start()
        yield stream


def _store(session: UploadSession) -> LiveStore:
    from orchestrator_cli.core.live.store import S3LiveStore
    from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession

    if isinstance(session, DirectSession):
        return S3LiveStore(session.store, session.execution_id)
    from orchestrator_cli.core.gateway.client.logs.live_store import GatewayLiveStore

    return GatewayLiveStore(cast("GatewayConnection", session.connection), session.execution_id)
