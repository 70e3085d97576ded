"""The first files are looked at while the record is read, with a request more only far away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.look_ahead import LookAhead
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import MIB, key_of, open_store

FILES = [
    PlannedFile(name, name, key_of(name), 1, "text/plain")
    for name in (f"{number:02}.txt" for number in range(40))
]


class Silent:
    """Takes connections and says nothing. To a client that begins TLS it is far away."""

    def __init__(self, server: socket.socket) -> None:
        self.port = server.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._server = server
        self._changed = threading.Condition()

    def accept(self) -> None:
        """Take connections until the server is closed."""
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            with self._changed:
                self.connections.append(one)
                self._changed.notify()

    def wait_for(self, count: int, seconds: float = 30) -> bool:
        """Wait until there are so many connections."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.connections) >= count, seconds)


@contextmanager
def silent_server() -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        silent = Silent(server)
        thread = threading.Thread(target=silent.accept)
        thread.start()
        try:
            yield silent
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in silent.connections:
                one.close()


@pytest.mark.parametrize(("scheme", "connections"), [("https", 1 + len(FILES)), ("http", 1)])
def test_connections_are_opened_ahead_only_where_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, scheme: str, connections: int
) -> None:
    with silent_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{server.port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        store = open_store("bucket")
        with TransferEngine(store.connection) as engine:
            ahead = LookAhead(engine, DirectTarget(store))

            def read() -> str:
                # The listing's, and where the server is far one for each file.
                assert server.wait_for(connections)
                time.sleep(0.05)
                return "read"

            result, plan = ahead.while_reading(read, FILES)
            assert result == "read"
            assert list(plan) == FILES
            assert ahead.is_listing
            assert len(server.connections) == connections


def test_files_that_wait_for_the_listing_count_as_held(scene: Scene, tmp_path: Path) -> None:
    """Otherwise hundreds would be read at once when it comes."""
    gone = TreeFile(Tree.named(tmp_path), ("gone",))
    listing, too_many = faults.Hold("answer"), threading.Event()
    scene.recorder.inject(listing, "ListObjectsV2")
    taken: list[str] = []
    taken_before_the_listing: list[str] = []

    def plan() -> Iterator[PlannedFile]:
        for number in range(600):
            taken.append(f"{number:03}.bin")
            if number > 250:
                too_many.set()
            yield PlannedFile(taken[-1], taken[-1], key_of(taken[-1]), MIB, "text/plain", gone)

    def release() -> None:
        too_many.wait(1)
        taken_before_the_listing.extend(taken)
        listing.released.set()

    releasing = threading.Thread(target=release)
    store = open_store(scene.bucket)
    with TransferEngine(store.connection) as engine:
        ahead = LookAhead(engine, DirectTarget(store))
        _, items = ahead.while_reading(lambda: listing.reached.wait(30), plan())
        releasing.start()
        uploader = Uploader(engine, DirectTarget(store), UploadHooks(), ahead=ahead)
        summary = uploader.run(items)
        releasing.join()
    assert len(summary.failures) == 600
    # Those that were looked at ahead, and no more than fit into the limit of memory.
    assert len(taken_before_the_listing) < 250
