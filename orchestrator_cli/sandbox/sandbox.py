"""A throw-away S3 on loopback: moto's server in a process of its own, with a bucket in it."""

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
# Settings that would lead a client away from the sandbox, or into someone's real account.
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
        """Return whether the server still runs; only a fault or a signal ends it early."""
        return self.server.poll() is None

    def environment(self) -> dict[str, str]:
        """Return the variables that point any S3 client, and `orchestrator`, at the sandbox."""
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
        """Return this process's environment with the sandbox's in place of any real account."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET_VARIABLES}
        return kept | self.environment()


@contextmanager
def start_sandbox(bucket: str = DEFAULT_BUCKET) -> Iterator[Sandbox]:
    """Run a throw-away S3 with a bucket in it until the context ends.

    The server also ends when this process does, whatever ends it. What was stored is gone then.
    Raises UsageError where moto is not installed or the name cannot be a bucket's.
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
            f"{printable(bucket)!r} cannot be the name of a bucket",
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
    """Start the server in a session of its own, so that Ctrl-C reaches it through us only."""
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
    # By its path, so that it starts from any directory; -P keeps that path out of its imports.
    command = [sys.executable, "-P", "-W", "ignore", str(script)]
    # The kernel ties the death signal to the thread that started the child, not to the process.
    if threading.current_thread() is threading.main_thread():
        command.append("--pdeathsig")
    return command


def _server_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings that would change what moto does."""
    kept = {name: value for name, value in base.items() if not name.startswith(("AWS_", "MOTO_"))}
    return kept | {"MOTO_DISABLE_GLOBAL_CORS": "true"}


def _read_port(server: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """Wait for the server's one line, which says the port the kernel gave it."""
    output = cast("IO[bytes]", server.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline() if selector.select(_START_SECONDS) else b""
    if line.strip().isdigit():
        return int(line)
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
    raise OrchestratorError(f"the sandbox's server did not start: {printable(said[-1])}")


def _make_bucket(port: int, bucket: str) -> None:
    """Make the bucket with a plain request, because a boto3 client takes half a second to load."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    try:
        connection.request("PUT", f"/{bucket}")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OrchestratorError(f"the sandbox answered {status} when asked to make {bucket!r}")


def _stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server at once: it holds nothing that is worth a farewell."""
    server.kill()
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    server.wait()


def _without_proxy(base: Mapping[str, str]) -> str:
    """Return the hosts that are reached without a proxy, the sandbox's address among them."""
    hosts = [*base.get("NO_PROXY", base.get("no_proxy", "")).split(","), "127.0.0.1"]
    return ",".join(dict.fromkeys(host.strip() for host in hosts if host.strip()))
