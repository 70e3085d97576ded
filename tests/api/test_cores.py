"""The threads of a server share one core, but for what hardly needs Python's lock."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_cli.api.cores import share_one_core
from orchestrator_cli.api.logs.log_bytes import LogBytes, LogState
from orchestrator_cli.api.logs.log_search import LogSearch, SearchMode, SearchQuery
from tests.support.commands.serving import Serve
from tests.support.scene import Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program choose")


def cores_of_threads(pid: int) -> list[set[int]]:
    return [os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()]


def test_all_threads_of_a_server_run_on_one_core(scene: Scene, serve: Serve) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"one\ntwo\n"})
    server = serve()
    assert server.get(f"/executions/{execution_id}/artifacts").status == 200
    cores = cores_of_threads(server.process.pid)
    # The event loop, and the thread that has asked S3.
    assert len(cores) > 1
    assert len(set.union(*cores)) == 1


def in_a_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(work).result()


class Watched:
    """A log that keeps on which cores it was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.cores: list[set[int]] = []

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        self.cores.append(os.sched_getaffinity(0))
        data = self.data[offset : offset + length]
        return LogBytes(offset, data, len(self.data), LogState.GROWING)


def test_a_search_runs_on_any_core() -> None:
    every = os.sched_getaffinity(0)
    log = Watched(b"one\ntwo\n")

    def work() -> None:
        share_one_core()
        one = os.sched_getaffinity(0)
        assert len(one) == 1
        search = LogSearch(log, SearchQuery("two", SearchMode.TEXT, 0, 10))
        (hit, _) = search.step()
        assert hit["line"] == 1
        assert log.cores == [one, every]
        assert os.sched_getaffinity(0) == one

    in_a_thread(work)
    assert os.sched_getaffinity(0) == every
