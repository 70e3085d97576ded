"""Tell for certain, without waiting for some time, that a sandbox's server is gone."""

from __future__ import annotations

import socket
import subprocess
from urllib.parse import urlsplit


def connect(endpoint_url: str) -> socket.socket:
    """Hold a connection to the server, whose end tells that the process is gone."""
    port = urlsplit(endpoint_url).port
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def assert_server_ends(connection: socket.socket) -> None:
    with connection:
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            return


def read_exports(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Read the lines of a bare `sandbox` up to the last one."""
    assert process.stdout is not None
    variables: dict[str, str] = {}
    for line in process.stdout:
        if line.startswith(b"export "):
            name, _, text = line.decode().removeprefix("export ").strip().partition("=")
            variables[name] = text
        if "ORCHESTRATOR_CONFIG" in variables:
            return variables
    raise AssertionError("the sandbox ended before it had printed everything")
