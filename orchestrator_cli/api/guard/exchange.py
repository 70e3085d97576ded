"""The two directions of one exchange: reading the request's body, and sending the response."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from orchestrator_cli.api.guard.limits import (
    DISCARD_BYTES,
    DISCARD_SECONDS,
    MAX_BODY_BYTES,
    SEND_BYTES,
)


class ClientStalledError(Exception):
    """The client does not read its response."""


class ConnectionEndedError(BaseException):
    """Ends the server's task for a connection that is closed.

    It would otherwise wait for ever for a pipelined request that is never read.
    """


class ResponseRecorder:
    """Passes the messages of a response on, and records its status and size."""

    def __init__(
        self, send: Send, headers: tuple[tuple[bytes, bytes], ...], send_seconds: float
    ) -> None:
        self._send = send
        self._headers = headers
        self._send_seconds = send_seconds
        self.status: int | None = None
        self.sent_bytes = 0
        self.error: str | None = None
        # False once the whole response is sent, unless it has `Connection: close`.
        self.ends_connection = True
        self._closes = False

    async def send(self, message: Message) -> None:
        """Send one message. Raises ClientStalledError if the client does not accept it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._closes = (b"connection", b"close") in message["headers"]
            await self._send({**message, "headers": [*message["headers"], *self._headers]})
        else:
            await self._send_body(message.get("body", b""), message.get("more_body", False))

    async def send_unless_begun(self, scope: Scope, response: Response) -> None:
        """Send a whole response, unless another one has begun."""
        if self.status is None:
            await response(scope, _receive_nothing, self.send)

    async def _send_body(self, body: bytes, more: bool) -> None:
        for start in range(0, max(len(body), 1), SEND_BYTES):
            piece = body[start : start + SEND_BYTES]
            is_last = start + SEND_BYTES >= len(body)
            try:
                async with asyncio.timeout(self._send_seconds):
                    await self._send(
                        {
                            "type": "http.response.body",
                            "body": piece,
                            "more_body": more or not is_last,
                        }
                    )
            except TimeoutError as error:
                raise ClientStalledError from error
            self.sent_bytes += len(piece)
        self.ends_connection = more or self._closes


async def _receive_nothing() -> Message:
    return {"type": "http.disconnect"}


class RequestReader:
    """Reads a request's body ahead of the application, and notices when the client disconnects.

    If a response is sent before the body is read, the server closes the connection, and the client
    may never see the response. So the rest of the body is read first, within limits.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._has_ended = asyncio.Event()
        self._client_left = False

    async def receive(self) -> Message:
        """Return the next message, as the `receive` of ASGI does."""
        return await self._messages.get()

    async def wait_for_end(self) -> None:
        """Wait until the body is read, but not longer than DISCARD_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                await self._has_ended.wait()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read ahead during the block, and cancel the block if the client disconnects.

        That cancellation is not passed on to the code after the block.
        """
        task = asyncio.current_task()
        reading = asyncio.create_task(self._read_ahead(task))
        try:
            yield
        except asyncio.CancelledError:
            if not self._client_left or task is None or task.uncancel():
                raise
        finally:
            reading.cancel()

    async def _read_ahead(self, task: asyncio.Task[object] | None) -> None:
        read_bytes = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            read_bytes += len(message.get("body", b""))
            if read_bytes <= MAX_BODY_BYTES:
                self._messages.put_nowait(message)
            if not message.get("more_body", False) or read_bytes > DISCARD_BYTES:
                self._has_ended.set()
        self._has_ended.set()
        self._client_left = True
        if task is not None:
            task.cancel()
