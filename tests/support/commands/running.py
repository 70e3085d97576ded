"""Ways to run the command: in this process, as a process, in a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

PROJECT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-m", "orchestrator_cli")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)

Argument = str | os.PathLike[str]
Environment = Mapping[str, str | None]


@dataclass(frozen=True)
class Result:
    """What a run of the command left behind; the streams are bytes, as they were written."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text; its bytes must be UTF-8."""
        return self.stdout.decode()

    @property
    def err(self) -> str:
        """Standard error as text; its bytes must be UTF-8."""
        return self.stderr.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> Any:
        """Return standard output as the one JSON value it is."""
        return json.loads(self.stdout)

    def json_lines(self) -> list[Any]:
        """Return standard output as one JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def ok(self) -> Result:
        """Return this result, or fail the test showing what was said."""
        return self.expect(0)

    def expect(self, exit_code: int) -> Result:
        """Return this result if it ended so, or fail the test showing what was said."""
        assert self.exit_code == exit_code, (
            f"exit {self.exit_code}, not {exit_code}\n"
            f"--- stdout\n{self.stdout.decode(errors='replace')[-4000:]}\n"
            f"--- stderr\n{self.stderr.decode(errors='replace')[-4000:]}"
        )
        return self


class RunCommand(Protocol):
    """The `cli` fixture."""

    def __call__(
        self, *arguments: Argument, stdin: bytes = b"", env: Environment | None = None
    ) -> Result: ...


class NewUpload(Protocol):
    """The `new_upload` fixture."""

    def __call__(self, *options: str) -> tuple[str, ...]: ...


def changed_environment(changes: Environment | None) -> dict[str, str]:
    """Return a copy of the environment with the changes; None removes a variable."""
    merged = {**os.environ, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def run_inside(
    main: Callable[[list[str]], object],
    arguments: Sequence[Argument],
    stdin: bytes = b"",
    env: Environment | None = None,
) -> Result:
    """Run the command's `main` in this process, with the real descriptors 0, 1 and 2 replaced.

    Much faster than a process of its own, and as faithful where neither signals, a terminal nor
    memory are the matter.
    """
    with contextlib.ExitStack() as files:
        given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        with _process_state(changed_environment(env)), _streams(given, out, err):
            code = _exit_code(main, [os.fspath(one) for one in arguments])
        return Result(code, _written(out), _written(err))


def _exit_code(main: Callable[[list[str]], object], arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        if end.code is None:
            return 0
        return end.code if isinstance(end.code, int) else 1
    return 0


def _written(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def _process_state(environment: Mapping[str, str]) -> Iterator[None]:
    """Lend the process an environment; put that, its signals, loggers and directory back.

    Ending at once, as after an interruption, must end the command only.
    """
    kept, exit_at_once = dict(os.environ), os._exit
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    root = logging.getLogger()
    level, loggers, directory = root.level, list(root.handlers), Path.cwd()
    _replace_environment(environment)
    os._exit = cast("Any", sys.exit)
    try:
        yield
    finally:
        os._exit = exit_at_once
        _replace_environment(kept)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        root.handlers[:] = loggers
        root.setLevel(level)
        os.chdir(directory)


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


@contextlib.contextmanager
def _streams(given: IO[bytes], out: IO[bytes], err: IO[bytes]) -> Iterator[None]:
    """Put files in the place of the descriptors 0, 1, 2 and of Python's streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept_streams = sys.stdin, sys.stdout, sys.stderr
    kept = [os.dup(number) for number in (0, 1, 2)]
    for number, stream in enumerate((given, out, err)):
        os.dup2(stream.fileno(), number)
    sys.stdin = _text(0, "rb")
    sys.stdout = _text(1, "wb")
    sys.stderr = _text(2, "wb", errors="backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        for lent in (sys.stdin, sys.stdout, sys.stderr):
            lent.close()
        sys.stdin, sys.stdout, sys.stderr = kept_streams
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)


def _text(descriptor: int, mode: str, **options: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(descriptor, mode, closefd=False), encoding="utf-8", **options)


class Processes:
    """Runs the command as processes of its own and lets none of them outlive the test."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        *arguments: Argument,
        stdin: bytes | IO[bytes] = b"",
        env: Environment | None = None,
        cwd: Argument | None = None,
        timeout: float = 90,
        command: Sequence[str] = COMMAND,
    ) -> Result:
        """Run the command to its end; `stdin` is bytes or an open file."""
        data = stdin if isinstance(stdin, bytes) else None
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
        process = self.start(*arguments, stdin=source, env=env, cwd=cwd, command=command)
        out, err = process.communicate(data, timeout=timeout)
        return Result(process.returncode, out, err)

    def start(
        self,
        *arguments: Argument,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
        env: Environment | None = None,
        cwd: Argument | None = None,
        command: Sequence[str] = COMMAND,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start the command; the caller signals it and waits, the fixture cleans up."""
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=process_environment(env),
            cwd=cwd,
            **options,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs, and close the pipes."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()


def process_environment(changes: Environment | None) -> dict[str, str]:
    """Return the environment of a process that can import this checkout from any directory."""
    environment = changed_environment(changes)
    paths = [str(PROJECT), *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {"PYTHONPATH": os.pathsep.join(paths)}


def strip_ansi(text: str) -> str:
    """Return the text without its escape sequences."""
    return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\))", "", text)
