"""Start and stop the sandbox: moto's server in a process of its own, with an empty bucket."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable

DEFAULT_BUCKET = "orchestrator-sandbox"
# Settings that would lead a client to another server or to a real account.
UNSET_VARIABLES = (
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "ORCHESTRATOR_ENDPOINT_URL",
    "ORCHESTRATOR_EXECUTION_ID",
    "ORCHESTRATOR_PROFILE",
    "ORCHESTRATOR_REGION",
)
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NEEDED_PACKAGES = ("moto", "flask", "flask_cors", "werkzeug")
_START_SECONDS = 60


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, as `start_sandbox` yields it."""

    endpoint_url: str
    bucket: str
    server: subprocess.Popen[bytes]

    def is_running(self) -> bool:
        """Return whether the server is running. Only a crash or a signal ends it early."""
        return self.server.poll() is None

    def environment(self) -> dict[str, str]:
        """Return the variables that make `orchestrator` and other S3 clients use the sandbox."""
        no_proxy = _without_proxy(os.environ)
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "ORCHESTRATOR_BUCKET": self.bucket,
            "ORCHESTRATOR_CONFIG": os.devnull,
        }

    def full_environment(self) -> dict[str, str]:
        """Return the environment of this process with the sandbox in place of a real account."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET_VARIABLES}
        return kept | self.environment()


@contextmanager
def start_sandbox(bucket: str = DEFAULT_BUCKET) -> Iterator[Sandbox]:
    """Run the server with an empty bucket until the context ends; its objects are lost then.

    The server also ends when this process ends, even by SIGKILL. Raises UsageError if moto is not
    installed or the bucket name is not valid.
    """
    _check_bucket_name(bucket)
    _check_packages()
    with tempfile.TemporaryFile() as log:
        server = _start_server(log)
        try:
            port = _read_port(server, log)
            _make_bucket(port, bucket)
            yield Sandbox(f"http://127.0.0.1:{port}", bucket, server)
        finally:
            _stop_server(server)


def _check_bucket_name(bucket: str) -> None:
    if not _BUCKET_NAME.fullmatch(bucket):
        raise UsageError(
            f"{printable(bucket)!r} is not a valid bucket name",
            hint="use 3 to 63 of: lower-case letters, digits, hyphens, dots",
        )


def _check_packages() -> None:
    missing = [name for name in _NEEDED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the sandbox needs moto's server, which is not installed ({', '.join(missing)})",
            hint="pip install 'orchestrator-cli[sandbox]'",
        )


def _start_server(log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that Ctrl-C does not reach it."""
    return subprocess.Popen(
        _server_command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_server_environment(os.environ),
        start_new_session=True,
    )


def _server_command() -> list[str]:
    script = Path(__file__).with_name("server.py")
    # The script is run by its path, and -P keeps its directory out of the module search path.
    command = [sys.executable, "-P", "-W", "ignore", str(script)]
    # The kernel sends this signal when the thread that started the child ends, not the process.
    if threading.current_thread() is threading.main_thread():
        command.append("--pdeathsig")
    return command


def _server_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without variables that would change the behaviour of moto."""
    kept = {name: value for name, value in base.items() if not name.startswith(("AWS_", "MOTO_"))}
    return kept | {"MOTO_DISABLE_GLOBAL_CORS": "true"}


def _read_port(server: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """Wait for the only line that the server prints, which is its port."""
    output = cast("IO[bytes]", server.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline() if selector.select(_START_SECONDS) else b""
    if line.strip().isdigit():
        return int(line)
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or ["it printed nothing"]
    raise OrchestratorError(f"the sandbox's server did not start: {printable(lines[-1])}")


def _make_bucket(port: int, bucket: str) -> None:
    """Create the bucket by a plain request, because loading boto3 takes half a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    try:
        connection.request("PUT", f"/{bucket}")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OrchestratorError(f"the sandbox could not create {bucket!r}: HTTP {status}")


def _stop_server(server: subprocess.Popen[bytes]) -> None:
    """Kill the server; it has nothing to save."""
    server.kill()
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    server.wait()


def _without_proxy(base: Mapping[str, str]) -> str:
    """Return the value of NO_PROXY with the address of the sandbox added."""
    hosts = [*base.get("NO_PROXY", base.get("no_proxy", "")).split(","), "127.0.0.1"]
    return ",".join(dict.fromkeys(host.strip() for host in hosts if host.strip()))
