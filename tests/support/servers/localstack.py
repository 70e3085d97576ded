"""LocalStack's S3 for the tests that need a stricter server than the sandbox.

It verifies checksums and presigned URLs, lists the checksums of parts, and archives, as AWS does.
Three things it does not do as AWS does:

- It checks presigned signatures against the secret key `test` alone, and those in the
  Authorization header not at all.
- A PutObject that it refuses for a bad digest has damaged the object that was there. No test may
  try to overwrite an object with a wrong digest.
- It looks at the key and then completes a multipart upload, in two steps under no lock: of two
  completions at once both may succeed. A test that needs an order holds one back in the proxy.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from orchestrator_cli.sandbox.sandbox import Sandbox
from tests.support.commands.running import PROJECT

PYTHON = PROJECT / ".venv-localstack" / "bin" / "python"
_SERVER = Path(__file__).with_name("localstack_server.py")
_START_SECONDS = 60
_SETTINGS = {
    "SERVICES": "s3",
    "EAGER_SERVICE_LOADING": "1",
    "STRICT_SERVICE_LOADING": "1",
    # Nothing of the net is asked for anything.
    "DISABLE_EVENTS": "1",
    "DNS_ADDRESS": "0",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "S3_SKIP_SIGNATURE_VALIDATION": "0",
}


class CannotStartError(Exception):
    """LocalStack is not installed, or did not come up; the message says why."""


@dataclass(frozen=True)
class LocalStack:
    """A running LocalStack."""

    endpoint_url: str
    process: subprocess.Popen[bytes]

    def environment(self) -> dict[str, str]:
        """Return the variables that point any S3 client at it."""
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return Sandbox(self.endpoint_url, "", self.process).environment() | keys


@contextlib.contextmanager
def start_localstack(directory: Path) -> Iterator[LocalStack]:
    """Run LocalStack's S3, with its files in a directory, until the context ends.

    The server also ends when this process does, whatever ends it. Raises CannotStartError.
    """
    if not PYTHON.exists():
        raise CannotStartError("LocalStack is not installed: run `make test-localstack`")
    log = directory / "localstack.log"
    server = _start_server(directory, log)
    try:
        port = _read_port(server, log)
        _wait_until_healthy(port, server, log)
        yield LocalStack(f"http://127.0.0.1:{port}", server)
    finally:
        _stop_server(server)


def _start_server(directory: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that it can be ended with all its children."""
    command = [str(PYTHON), "-P", "-W", "ignore", str(_SERVER)]
    # The kernel ties the death signal to the thread that started the child, not to the process.
    if threading.current_thread() is threading.main_thread():
        command.append("--pdeathsig")
    own = {"HOME": str(directory), "TMP": str(directory), "FILESYSTEM_ROOT": str(directory / "fs")}
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env={"PATH": os.environ.get("PATH", os.defpath), **own, **_SETTINGS},
            cwd=directory,
            start_new_session=True,
        )


def _read_port(server: subprocess.Popen[bytes], log: Path) -> int:
    """Wait for the server's one line, which says the port the kernel gave it."""
    output = cast("IO[bytes]", server.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline() if selector.select(_START_SECONDS) else b""
    if not line.strip().isdigit():
        raise _cannot_start("LocalStack did not start", log)
    return int(line)


def _wait_until_healthy(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Ask for its health until it answers; a request waits in the socket until it serves."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _is_healthy(port):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = server.wait(0.05)
            raise _cannot_start(f"LocalStack ended with {code}", log)
    raise _cannot_start(f"LocalStack is not ready after {_START_SECONDS} s", log)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_localstack/health")
        answer = connection.getresponse()
        return answer.status == 200 and b'"s3"' in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _cannot_start(reason: str, log: Path) -> CannotStartError:
    said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return CannotStartError(f"{reason}: {said[-1]}")


def _stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and its children at once: it holds nothing that is worth a farewell."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    server.wait()
