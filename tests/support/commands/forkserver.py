"""Runs the command as real processes that are forked off one that has imported everything.

Starting the interpreter and boto3 takes half a second, a fork some milliseconds; with hundreds of
processes to kill, that decides. The server has neither threads nor clients when it forks.

Run as a module, this is the server: it reads requests from the descriptor in its first argument.
The second says whether parts are small, see `small_scale`; packages to import may follow. Retries
are quick.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.commands.running import (
    Argument,
    Environment,
    Result,
    process_environment,
    run_inside,
)

# No process ends with this code.
_STILL_RUNNING = 1 << 16


class Child:
    """A running command. It may be signalled at any moment, also when it has just ended."""

    def __init__(self, server: ForkServer, pid: int, out: IO[bytes], err: IO[bytes]) -> None:
        self.pid = pid
        self._server = server
        self._streams = out, err
        self._ended = False
        self._lock = threading.Lock()

    def signal(self, number: int) -> None:
        """Send a signal; after the end, nothing happens."""
        with self._lock:
            if not self._ended:
                os.kill(self.pid, number)

    def wait(self, seconds: float = 100) -> Result:
        """Wait for the end; the exit code is negative where a signal was the end.

        Raises TimeoutError where it does not end in time.
        """
        code = self._server.ask({"wait": self.pid, "seconds": seconds})
        if code == _STILL_RUNNING:
            raise TimeoutError("the command does not end")
        with self._lock:
            # Only now may the system give the number to another process.
            self._ended = True
        self._server.ask({"reap": self.pid})
        return Result(code, *(_read_and_close(stream) for stream in self._streams))


class ForkServer:
    """Starts commands; one at a time may be waited for.

    `packages` are imported beforehand, with all their modules, beside the commands.
    """

    def __init__(self, *packages: str, small_scale: bool) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*_command(theirs.fileno(), small_scale), *packages],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=process_environment(None),
            )
        self._socket = ours
        self._answers = ours.makefile("rb")

    def start(
        self,
        *arguments: Argument,
        stdin: bytes | int = b"",
        env: Environment | None = None,
        cwd: Argument | None = None,
        constants: dict[str, Any] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Child:
        """Start the command with this process's environment as changed by `env`.

        `constants` gives attributes of the product's modules another value for this one run.
        `stdin` may be a descriptor to read from. `stdout` and `stderr` are descriptors to write to;
        what goes there is not in the result.
        """
        streams = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - the child's
        if isinstance(stdin, bytes):
            streams[0].write(stdin)
            streams[0].seek(0)
        descriptors = [stream.fileno() for stream in streams]
        for number, given in enumerate((stdin, stdout, stderr)):
            if isinstance(given, int):
                descriptors[number] = given
        request = {
            "arguments": [os.fspath(one) for one in arguments],
            "environment": process_environment(env),
            "cwd": os.fspath(cwd or Path.cwd()),
            "constants": constants or {},
        }
        pid = self.ask(request, descriptors)
        streams[0].close()
        return Child(self, pid, streams[1], streams[2])

    def run(self, *arguments: Argument, **options: Any) -> Result:
        """Run the command to its end."""
        return self.start(*arguments, **options).wait()

    def ask(self, request: dict[str, Any], descriptors: list[int] | None = None) -> int:
        line = json.dumps(request).encode()
        message = b"%d\n" % len(line)
        if descriptors:
            socket.send_fds(self._socket, [message], descriptors)
        else:
            self._socket.sendall(message)
        self._socket.sendall(line)
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError("the fork server has ended")
        return int(answer)

    def close(self) -> None:
        """End the server, which kills the children that are left."""
        self._answers.close()
        self._socket.close()
        self._process.wait()


@contextmanager
def run_fork_server(*packages: str, small_scale: bool = True) -> Iterator[ForkServer]:
    """Run a fork server until the context ends."""
    server = ForkServer(*packages, small_scale=small_scale)
    try:
        yield server
    finally:
        server.close()


def _command(descriptor: int, small_scale: bool) -> list[str]:
    scale = "small" if small_scale else "whole"
    return [sys.executable, "-m", __name__, str(descriptor), scale]


def _read_and_close(stream: IO[bytes]) -> bytes:
    with stream:
        stream.seek(0)
        return stream.read()


# --- the server ------------------------------------------------------------------------------


def _serve(connection: socket.socket) -> None:
    """Serve until the test process closes the connection or is gone."""
    children: set[int] = set()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 64, 3)
        if not message:
            break
        request = json.loads(_receive(connection, message))
        if "wait" in request:
            answer = _end_of(request["wait"], request["seconds"])
        elif "reap" in request:
            children.discard(request["reap"])
            answer = os.waitpid(request["reap"], 0)[0]
        else:
            answer = os.fork()
            if answer == 0:
                connection.close()
                _become_command(request, descriptors)
            children.add(answer)
            for descriptor in descriptors:
                os.close(descriptor)
        connection.sendall(b"%d\n" % answer)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _receive(connection: socket.socket, message: bytes) -> bytes:
    """Return a whole request: its length, a newline, and so many bytes."""
    while b"\n" not in message:
        message += connection.recv(64)
    length, _, data = message.partition(b"\n")
    while len(data) < int(length):
        data += connection.recv(int(length) - len(data))
    return data


def _end_of(pid: int, seconds: float) -> int:
    """Wait for a child and leave it as a zombie, so that its number stays its own."""
    deadline = time.monotonic() + seconds
    pause_seconds = 0.002
    while (ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
        if time.monotonic() > deadline:
            return _STILL_RUNNING
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.2, 0.02)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _become_command(request: dict[str, Any], descriptors: list[int]) -> None:
    """Run the command in this new process, and leave by its SystemExit."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = (
        _text(0, "rb"),
        _text(1, "wb"),
        _text(2, "wb", errors="backslashreplace", line_buffering=True),
    )
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    random.seed()
    for name, value in request["constants"].items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    from orchestrator_cli.cli.main import main

    try:
        main(request["arguments"])
    except SystemExit as end:
        # As the interpreter ends, but for tearing down every module that the server has imported.
        # Nothing public waits for threads and runs what executors have registered for the end.
        threading._shutdown()  # type: ignore[attr-defined]
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


def _text(descriptor: int, mode: str, **options: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(descriptor, mode, closefd=False), encoding="utf-8", **options)


def _import_everything(small_scale: bool, packages: list[str]) -> None:
    from tests.support.commands.small_scale import hurry, share_client_data, shrink

    if small_scale:
        shrink()
    hurry()
    share_client_data()
    for package in ("orchestrator_cli.cli.commands", *packages):
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            importlib.import_module(module.name)
    for name in ("tenacity", "botocore.credentials", "ulid", "xml.etree.ElementTree"):
        importlib.import_module(name)
    _warm_up()
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Run two commands that fail, so that Python specialises their code once, not in each fork."""
    from orchestrator_cli.cli.main import main

    with socket.socket() as silent:
        # Nobody listens there.
        silent.bind(("127.0.0.1", 0))
        settings = {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "ORCHESTRATOR_BUCKET": "warm-up",
        }
        for arguments in (["upload", "--no-such-option"], ["new"]):
            assert run_inside(main, arguments, env=settings).exit_code != 0
    # tempfile chose its directory under these settings; a fork may have another TMPDIR.
    tempfile.tempdir = None


if __name__ == "__main__":
    _import_everything(sys.argv[2] == "small", sys.argv[3:])
    assert threading.active_count() == 1
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _serve(control)
