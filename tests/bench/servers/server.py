"""The servers that the tools are measured against."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fixtures import IDS, Fixtures
from tests.bench.servers.certificates import client_environment
from tests.bench.servers.delaying import run_delaying_proxy
from tests.bench.servers.nginx import find_nginx
from tests.bench.servers.real import run_real_server
from tests.bench.servers.sink import run_sink
from tests.bench.servers.sink_config import SOCKET, Settings
from tests.bench.servers.sink_content import fill_sink
from tests.bench.servers.waiting import run_waiting_front


@dataclass(frozen=True, slots=True)
class Server:
    """What is measured against. `forget` removes what was uploaded, where that is kept."""

    name: str
    environment: dict[str, str]
    endpoint_url: str
    ca_file: Path | None
    forget: Callable[[], None] = lambda: None


@contextmanager
def sink_server(
    home: Path, files: Fixtures, settings: Settings, latency_ms: int
) -> Iterator[Server]:
    """Run the sink until the block ends, so far away."""
    with ExitStack() as stack:
        sink = run_sink(_nginx(), home, IDS, fill_sink(home, files), settings)
        where, ca_file = stack.enter_context(sink), home / "ca.pem"
        yield stack.enter_context(far_server("sink", str(settings), where, ca_file, latency_ms))


@contextmanager
def waiting_server(home: Path, answer_ms: int) -> Iterator[Server]:
    """Let the sink that is running take so long for each response, until the block ends."""
    ca_file = home / "ca.pem"
    with run_waiting_front(_nginx(), home, SOCKET, answer_ms / 1000) as where:
        name = f"sink, {answer_ms / 1000:g} s a response"
        yield Server(name, client_environment(where, ca_file), where, ca_file)


@contextmanager
def far_server(
    name: str, told: str, endpoint_url: str, ca_file: Path, latency_ms: int
) -> Iterator[Server]:
    """Put the latency between, if there is one, until the block ends."""
    with ExitStack() as stack:
        distance = ""
        if latency_ms:
            port = int(endpoint_url.rpartition(":")[2])
            proxy = stack.enter_context(run_delaying_proxy(port, latency_ms / 1000))
            endpoint_url, distance = f"https://localhost:{proxy}", f"{latency_ms} ms away"
        full = ", ".join(filter(None, (name, told, distance)))
        yield Server(full, client_environment(endpoint_url, ca_file), endpoint_url, ca_file)


@contextmanager
def real_server(files: Fixtures) -> Iterator[Server]:
    """Run the embedded S3 until the block ends."""
    with run_real_server(files) as (environment, forget):
        where = environment["AWS_ENDPOINT_URL"]
        yield Server("moto", environment | {"S3_ENDPOINT_URL": where}, where, None, forget)


def _nginx() -> str:
    found = find_nginx()
    if found is None:
        sys.exit("nginx is needed for the sink: apt-get install nginx-light, brew install nginx")
    return found
