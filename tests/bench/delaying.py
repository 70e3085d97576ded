"""A TCP proxy that delivers every byte half a round trip late, as a far server does.

It limits no bandwidth: bytes wait in a queue each way, however many they are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 256 * 1024
# What may be under way in one direction of one connection.
_WINDOW_CHUNKS = 64


@contextmanager
def run_delaying_proxy(port: int, round_trip_seconds: float) -> Iterator[int]:
    """Yield the port on loopback that leads to `port` with so much delay."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def serve() -> asyncio.Server:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", port)
            delay = round_trip_seconds / 2
            # The handshake of a connection takes one round trip before the first byte.
            await asyncio.sleep(round_trip_seconds)
            await asyncio.gather(_pass(reader, there[1], delay), _pass(there[0], writer, delay))

        return await asyncio.start_server(handle, "127.0.0.1", 0, limit=_CHUNK)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW_CHUNKS)

    async def deliver() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                break
            writer.write(data)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await waiting.put((clock() + delay, data))
    await waiting.put((clock() + delay, b""))
    with suppress(ConnectionError):
        await delivery
    with suppress(ConnectionError, OSError):
        writer.close()
