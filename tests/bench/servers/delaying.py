"""A TCP proxy that delivers every byte half a round trip late, as a far server does.

It limits no bandwidth and knows no slow start: bytes wait in pipes of the kernel's each way. They
are never copied, so that it takes little of the processors that client and server share with it. It
runs as a process of its own, and needs Linux's `splice`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

_PIPE_BYTES = 1 << 20
# What may be under way in one direction of one connection: 64 MiB.
_WINDOW_PIPES = 64
# What arrives within this time may leave together.
_GRAIN_SECONDS = 0.001
_NONBLOCK = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)


@contextmanager
def run_delaying_proxy(port: int, round_trip_seconds: float) -> Iterator[int]:
    """Yield the port on loopback that leads to `port` with so much delay."""
    if not hasattr(os, "splice"):
        sys.exit("a server that is far away needs Linux")
    command = [
        sys.executable,
        "-m",
        "tests.bench.servers.delaying",
        str(port),
        str(round_trip_seconds),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _serve(port: int, round_trip_seconds: float) -> None:
    here = socket.create_server(("127.0.0.1", 0), backlog=1024)
    here.setblocking(False)
    print(here.getsockname()[1], flush=True)
    connections = set()
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(here)
        connection = asyncio.create_task(_join(client, port, round_trip_seconds))
        connections.add(connection)
        connection.add_done_callback(connections.discard)


async def _join(client: socket.socket, port: int, round_trip_seconds: float) -> None:
    """Join a client with the server until both have said all, or one of them is gone."""
    # The handshake of a connection takes one round trip before the first byte.
    await asyncio.sleep(round_trip_seconds)
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        for one in (stack.enter_context(client), server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stack.enter_context(suppress(ExceptionGroup, OSError))
        await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", port))
        async with asyncio.TaskGroup() as group:
            for source, target in ((client, server), (server, client)):
                way = Way(source, target, round_trip_seconds / 2, stack)
                group.create_task(way.take())
                group.create_task(way.give())


@dataclass
class Pipe:
    """Bytes that wait in the kernel until they are due; the end of all where there is no byte."""

    read_fd: int
    write_fd: int
    due: float = 0.0
    size_bytes: int = 0

    @classmethod
    def make(cls, stack: ExitStack) -> Pipe:
        """Return one as large as the system allows, closed when the stack is."""
        pipe = cls(*os.pipe())
        stack.callback(os.close, pipe.read_fd)
        stack.callback(os.close, pipe.write_fd)
        with suppress(OSError):
            fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return pipe

    def fill(self, source: socket.socket) -> int | None:
        """Take what is there: how much, 0 at the end, None where nothing is there or fits."""
        with suppress(BlockingIOError):
            count = os.splice(source.fileno(), self.write_fd, _PIPE_BYTES, flags=_NONBLOCK)
            self.size_bytes += count
            return count
        return None

    def drain(self, target: socket.socket) -> bool:
        """Pass on what it holds, as far as that goes; say whether that was all."""
        with suppress(BlockingIOError):
            while self.size_bytes:
                room = self.size_bytes
                self.size_bytes -= os.splice(self.read_fd, target.fileno(), room, flags=_NONBLOCK)
        return not self.size_bytes


class Way:
    """One direction of a connection: what takes from its source, and what gives to its target."""

    def __init__(
        self, source: socket.socket, target: socket.socket, delay: float, stack: ExitStack
    ) -> None:
        self._source = source
        self._target = target
        self._delay = delay
        # What is not due yet has not been given either, and more can be added.
        self._grain = min(_GRAIN_SECONDS, delay)
        self._stack = stack
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Pipe] = asyncio.Queue(_WINDOW_PIPES)
        self._spare: list[Pipe] = []

    async def take(self) -> None:
        """Take what arrives until its end. Raises OSError where the source is gone."""
        last = Pipe(-1, -1)
        while True:
            await _ready(self._source, self._loop.add_reader, self._loop.remove_reader)
            due = self._loop.time() + self._delay
            count = last.fill(self._source) if due - last.due < self._grain else None
            if count is None:
                pipe = self._spare.pop() if self._spare else Pipe.make(self._stack)
                pipe.due = due
                count = pipe.fill(self._source)
                if count is None:
                    self._spare.append(pipe)
                else:
                    last = pipe
                    await self._waiting.put(pipe)
            elif count == 0:
                await self._waiting.put(Pipe(-1, -1, due))
            if count == 0:
                return

    async def give(self) -> None:
        """Give what is due until the end of all. Raises OSError where the target is gone."""
        while True:
            pipe = await self._waiting.get()
            await asyncio.sleep(max(0.0, pipe.due - self._loop.time()))
            if not pipe.size_bytes:
                self._target.shutdown(socket.SHUT_WR)
                return
            while not pipe.drain(self._target):
                await _ready(self._target, self._loop.add_writer, self._loop.remove_writer)
            self._spare.append(pipe)


async def _ready(
    one: socket.socket, watch: Callable[..., None], forget: Callable[..., object]
) -> None:
    """Wait until a socket can be read from or written to."""
    ready = asyncio.Event()
    watch(one, ready.set)
    try:
        await ready.wait()
    finally:
        forget(one)


if __name__ == "__main__":
    # A connection has some pipes.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
