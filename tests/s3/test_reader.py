"""What is read is whole and S3's, or asked for again, or an error that says what came."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from orchestrator_cli.core.base.errors import IntegrityError, OrchestratorError, UnavailableError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations import read as read_operations
from orchestrator_cli.core.s3.operations.read import get_object_if_checksum_matches
from orchestrator_cli.core.s3.types import PutOutcome
from tests.support.commands.small_scale import hurry
from tests.support.proxy import faults
from tests.support.proxy.connection import Connection
from tests.support.proxy.operations import Request
from tests.support.proxy.quirks import Quirk, Reply, Server, pretend
from tests.support.scene import Scene
from tests.support.servers.scripted import Peer, scripted
from tests.support.stored.engine import content, key_of, open_store

KEY = key_of("a.txt")
DATA = content(3000)
TEXT = "text/plain; charset=utf-8"
ETAG = b'ETag: "0123456789abcdef0123456789abcdef"\r\n'


class Bucket:
    """A server of one object, which the test may let answer less than it is asked for."""

    def __init__(self, *, most_bytes: int, times: int = 1, admits: bool = True) -> None:
        self.most_bytes = most_bytes
        self.times = times
        self.admits = admits

    def serve(self, peer: Peer) -> None:
        while True:
            wanted = peer.request().header("range") or ""
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            end = min(last + 1, len(DATA))
            if self.times > 0:
                self.times -= 1
                shorter = min(end, first + self.most_bytes)
                told = shorter if self.admits else end
                self._send(peer, DATA[first:shorter], first, told)
            else:
                self._send(peer, DATA[first:end], first, end)

    @staticmethod
    def _send(peer: Peer, body: bytes, first: int, end: int) -> None:
        head = (
            "HTTP/1.1 206 Partial Content\r\n"
            f"Content-Range: bytes {first}-{end - 1}/{len(DATA)}\r\n"
            f"Last-Modified: Mon, 02 Feb 2026 10:00:00 GMT\r\nContent-Length: {len(body)}\r\n"
        )
        peer.send(head.encode() + ETAG + b"\r\n" + body)


READS: dict[str, Callable[[ArtifactStore], bytes]] = {
    "range": lambda store: bytes(store.get_range(KEY, 0, 2000)),
    "range into a buffer": lambda store: bytes(store.get_range(KEY, 0, 2000, bytearray(2000))),
    "first bytes": lambda store: bytes(store.get_prefix(KEY, 2000)[1]),
}


@pytest.mark.parametrize("admits", [True, False], ids=["said", "unsaid"])
@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_a_range_that_comes_short_is_asked_for_again(
    read: Callable[[ArtifactStore], bytes],
    admits: bool,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that took it for the end of the object would show a part of a log as all of it."""
    with scripted(Bucket(most_bytes=500, times=2, admits=admits).serve) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert read(open_store(bucket)) == DATA[:2000]
        assert len(server.requests) == 3


def test_a_range_that_always_comes_short_is_an_error(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(Bucket(most_bytes=500, times=99).serve) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(IntegrityError, match="500 bytes came where 2000 were asked for"):
            open_store(bucket).get_range(KEY, 0, 2000)


def test_an_object_may_end_before_the_range_does(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(Bucket(most_bytes=0, times=0).serve) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert bytes(open_store(bucket).get_range(KEY, 2900, 2000)) == DATA[2900:]
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.get(KEY),
        lambda store: store.run(get_object_if_checksum_matches(KEY)),
        *READS.values(),
    ],
    ids=["whole", "verified", *READS],
)
def test_a_login_page_is_no_object(scene: Scene, read: Callable[[ArtifactStore], object]) -> None:
    """It must not be taken for what somebody else wrote, with advice to restore a version."""
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, DATA, TEXT)
    scene.recorder.inject(faults.LoginPage(), "GetObject", times=None)
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        read(store)


@pytest.mark.parametrize(
    ("headers", "is_believed"),
    [
        ({"ETag": '"1"'}, False),
        ({"ETag": 'W/"5f3a-17a2"', "Content-Type": "text/html"}, False),
        ({}, False),
        # An ETag need not be an MD5, as under SSE-KMS; S3 sends its request id along.
        ({"ETag": '"no-md5"', "x-amz-request-id": "0A49CE4060975EAC"}, True),
    ],
)
def test_a_portals_ok_to_a_file_is_not_believed(
    scene: Scene, headers: dict[str, str], is_believed: bool
) -> None:
    class Portal(faults.Fault):
        def request_head(self, waiting: faults.Waiting) -> None:
            raise faults.Answered(200, b"", headers)

    store = open_store(scene.bucket)
    scene.recorder.inject(Portal(), "PutObject", times=None)
    if is_believed:
        assert store.put_if_absent(KEY, DATA, TEXT, listed_etag="")[0] is PutOutcome.CREATED
    else:
        with pytest.raises(UnavailableError, match="what answered is not S3"):
            store.put_if_absent(KEY, DATA, TEXT, listed_etag="")


def test_a_server_that_sends_a_byte_at_a_time_does_not_hold_anybody(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n" + ETAG + b"\r\n")
        while True:
            peer.send(b"x")
            time.sleep(0.02)

    monkeypatch.setattr(read_operations, "timeout_for", lambda size_bytes: 0.3)
    with scripted(drip) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        store = open_store(bucket, attempts=2)
        with pytest.raises(UnavailableError, match="answered too slowly"):
            store.get(KEY)


def test_a_server_that_asks_for_less_is_given_the_rest_that_it_wants(scene: Scene) -> None:
    told: list[OrchestratorError] = []
    store = open_store(scene.bucket, on_retry=told.append)
    scene.recorder.inject(replace(faults.slow_down(), headers={"Retry-After": "0"}), "PutObject")
    assert store.put_if_absent(KEY, DATA, TEXT, listed_etag="")[0] is PutOutcome.CREATED
    (error,) = told
    assert error.is_throttled
    assert error.retry_after_seconds == 0


class RepeatsAKey(Quirk):
    """The first key of a page comes twice."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "ListObjectsV2":
            reply.body = re.sub(
                rb"<Contents>.*?</Contents>", rb"\g<0>\g<0>", reply.body, count=1, flags=re.DOTALL
            )


def test_a_file_that_is_listed_twice_is_not_counted_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch.setattr)
    execution = scene.put_execution(files={"logs/stdout.log": DATA, "artifacts/custom/a": DATA})
    pretend(scene.recorder, Server(RepeatsAKey()))
    for command in ("finish", execution, "--result", "pass"), ("ls", execution):
        result = scene.cli(*command).expect(9)
        assert result.stdout == b""
        assert urlsplit(scene.recorder.endpoint_url).netloc in result.err
        assert "check the endpoint, and whether its server lists keys as S3 does" in result.err
    assert scene.record(execution)["status"] == "running"


def test_a_page_in_place_of_a_look_up_is_no_object_of_somebody_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called other content of the key, and a stored file that differs."""

    class Portal(faults.Fault):
        def request_head(self, waiting: faults.Waiting) -> None:
            headers = {
                "Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT",
                "ETag": '"66fb-264"',
                "Content-Type": "text/html",
            }
            raise faults.Answered(200, b"", headers)

    hurry(monkeypatch.setattr)
    execution = scene.new_execution()
    tree = scene.write_tree({"stdout.log": DATA})
    scene.cli("upload", execution, tree).ok()
    scene.cli("finish", execution, "--result", "pass").ok()
    scene.recorder.inject(Portal(), "HeadObject", times=None, key="stdout.log")
    for command in ("verify", execution), ("upload", execution, tree):
        result = scene.cli(*command).expect(9)
        assert "what answered is not S3" in result.err
