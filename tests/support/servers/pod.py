"""A pod whose containers are processes of this machine, their volumes directories."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.commands.running import process_environment

_PROGRAMS = str(Path(sys.executable).parent)
_SECONDS = 60
# A container is all processes that have inherited its name.
_MARK = "POD_CONTAINER"
# https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))?")


def expand(text: str, variables: dict[str, str]) -> str:
    """Expand a word of a container's command as Kubernetes does."""

    def one(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0]) if match[2] is not None else match[0]

    return _REFERENCE.sub(one, text)


def containers_of(job: Any) -> dict[str, Any]:
    """Return the containers of a job's pod by name."""
    pod = job["spec"]["template"]["spec"]
    return {one["name"]: one for one in (*pod.get("initContainers", ()), *pod["containers"])}


def command_of(container: Any) -> list[str]:
    """Return what the container's runtime starts."""
    variables = {one["name"]: one["value"] for one in container.get("env", ())}
    return [expand(word, variables) for word in container["command"]]


class Pod:
    """Runs the containers of a Job as a kubelet does, except that they share a file system.

    What a container prints is in `<directory>/<name>.out` and `.err`. `environment` is what the
    cluster adds to that of containers which have the pod's role.
    """

    def __init__(
        self, job: Any, directory: Path, environment: Mapping[str, str | None] | None = None
    ) -> None:
        self._environment = environment or {}
        self._containers = containers_of(job)
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for volume in job["spec"]["template"]["spec"]["volumes"]:
            (directory / volume["name"]).mkdir()

    def path(self, name: str) -> Path:
        """Return a file of a volume, or of what a container has printed."""
        return self._directory / name

    def start(self, name: str) -> None:
        """Start a container, again where it has ended."""
        container = self._containers[name]
        words = [self._here(word) for word in command_of(container)]
        variables: dict[str, str | None]
        variables = {one["name"]: one["value"] for one in container.get("env", ())}
        # How long `run` itself waits for S3, before the sidecar tries again.
        variables["ORCHESTRATOR_RUN_UPLOAD_TIMEOUT"] = "1s"
        variables.update(self._environment)
        variables[_MARK] = self._mark(name)
        variables["PATH"] = f"{_PROGRAMS}:{os.environ['PATH']}"
        with self.path(f"{name}.out").open("ab") as out, self.path(f"{name}.err").open("ab") as err:
            self._running[name] = subprocess.Popen(
                words,
                env=process_environment(variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def _here(self, word: str) -> str:
        for volume in ("artifacts", "execution", "output"):
            word = re.sub(rf"(?<![\w.-])/{volume}\b", str(self.path(volume)), word)
        # Nobody wants to wait for so long.
        return word.replace("else sleep 10;", "else sleep 0.2;")

    def spooled(self, name: str) -> bytes:
        """Return what the sidecar has spooled in a file, or nothing."""
        found = self.path("execution/spool").rglob(name)
        return b"".join(file.read_bytes() for file in found if file.is_file())

    def start_all(self, *, is_started: bool = False) -> str:
        """Start the sidecar, and the tests once its probe succeeds; return the execution."""
        if not is_started:
            self.start("store")
        probe = [
            self._here(word)
            for word in self._containers["store"]["startupProbe"]["exec"]["command"]
        ]
        self.wait_until(lambda: subprocess.run(probe, check=False).returncode == 0)
        self.start("tests")
        return self.path("execution/id").read_text().strip()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.05)

    def told(self) -> str:
        """Return what all containers have printed."""
        files = sorted(self._directory.glob("*.[oe][ur][tr]"))
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files)

    def wait(self, name: str) -> int:
        """Wait for the end of a container; return its exit code."""
        try:
            return self._running[name].wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.told()) from None

    def end_sidecar(self) -> int:
        """Tell the sidecar that the tests have ended, as a kubelet does."""
        self.terminate("store")
        return self.wait("store")

    def terminate(self, name: str) -> None:
        """Send SIGTERM to process 1 of a container."""
        self._running[name].send_signal(signal.SIGTERM)

    def kill(self, name: str) -> None:
        """Kill all processes of a container, as its end or the lack of memory does.

        Those too that are started meanwhile, or whose parent has gone. They are stopped first, as
        none lives to see the end of another.
        """
        while pids := _marked(self._mark(name)):
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
        self._running[name].wait(_SECONDS)

    def _mark(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def close(self) -> None:
        """End whatever is left."""
        for name in self._running:
            self.kill(name)


def _marked(mark: str) -> list[int]:
    """Return the processes that have a mark in their environment."""
    wanted, found = f"{_MARK}={mark}".encode(), []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return found
