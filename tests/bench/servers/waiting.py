"""A sink that takes a while for each response, although it is near: no byte travels slowly.

nginx asks before each request whether it may go on, and is told so that much later. One thread
holds all that wait, and runs as a process of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.servers.nginx import Nginx, free_port

_END_OF_HEAD = b"\r\n\r\n"
_GO_ON = b"HTTP/1.1 204 No Content\r\n\r\n"

_HTTP = """\
  keepalive_requests 10000000;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  upstream sink {{ server unix:{sink}; keepalive 512; }}
  upstream asked {{ server 127.0.0.1:{asked}; keepalive 512; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {home}/leaf.pem;
    ssl_certificate_key {home}/leaf.key;
    auth_request /may-go-on;
    location / {{ proxy_pass http://sink; }}
    location = /may-go-on {{
      internal;
      proxy_pass http://asked;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
  }}
"""


@contextmanager
def run_waiting_front(program: str, home: Path, sink: str, seconds: float) -> Iterator[str]:
    """Serve what the sink behind a socket below `home` serves, each response so much later.

    Yields the endpoint, until the block ends.
    """
    command = [sys.executable, "-m", "tests.bench.servers.waiting", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        try:
            assert asked.stdout is not None
            port, ports = free_port(), asked.stdout.readline().strip()
            http = _HTTP.format(home=home, sink=sink, asked=ports, port=port)
            with Nginx(program, home, "waiting", workers=2).run(http, port):
                yield f"https://localhost:{port}"
        finally:
            asked.kill()


class _Asked(asyncio.Protocol):
    """One kept connection of nginx's, on which a question follows the answer to the last one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(_END_OF_HEAD):
            self._head = b""
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, _GO_ON)


async def _serve(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Asked(seconds), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
