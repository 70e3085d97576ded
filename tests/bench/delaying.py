"""A TCP proxy that delivers every byte half a round trip late, as a far server does.

It limits no bandwidth: bytes wait in a queue each way, however many they are. It runs as a process
of its own, so that its work and its memory are nobody else's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 256 * 1024
# What may be under way in one direction of one connection.
_WINDOW_CHUNKS = 64


@contextmanager
def run_delaying_proxy(port: int, round_trip_seconds: float) -> Iterator[int]:
    """Yield the port on loopback that leads to `port` with so much delay."""
    command = [sys.executable, "-m", "tests.bench.delaying", str(port), str(round_trip_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _serve(port: int, round_trip_seconds: float) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delay = round_trip_seconds / 2
        # The handshake of a connection takes one round trip before the first byte.
        await asyncio.sleep(round_trip_seconds)
        there = await asyncio.open_connection("127.0.0.1", port, limit=_CHUNK)
        await asyncio.gather(_pass(reader, there[1], delay), _pass(there[0], writer, delay))

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=_CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW_CHUNKS)

    async def deliver() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                return
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    delivery = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await waiting.put((clock() + delay, data))
    await waiting.put((clock() + delay, b""))
    await delivery
    with suppress(ConnectionError, OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
