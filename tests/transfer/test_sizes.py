"""Responses that disagree about the size of an object: no reader passes a part on as the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.commands.small_scale import hurry
from tests.support.proxy.connection import Connection
from tests.support.proxy.faults import CorruptAnswer
from tests.support.proxy.operations import Request
from tests.support.proxy.quirks import Quirk, Reply, Server, ask
from tests.support.scene import Scene
from tests.support.stored.engine import content

LINE = b"a line of the log\n"
# In several parts, and longer than what `grep` compares in one request.
LOG = LINE * 70_000
SMALL = LINE * 50
FILE = content(200_000)


class HeadSaysLess(Quirk):
    """HEAD has the size of a file's first part."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "HeadObject" and "content-length" in reply.headers:
            reply.headers["content-length"] = "65536"


class HalfIsTheWhole(Quirk):
    """Half of a range comes, and the object is said to end there."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        told = re.fullmatch(r"bytes (\d+)-.*", reply.headers.get("content-range", ""))
        if told:
            reply.body = reply.body[: len(reply.body) // 2]
            end = int(told[1]) + len(reply.body)
            reply.headers["content-range"] = f"bytes {told[1]}-{end - 1}/{end}"


class AddsBytes(Quirk):
    """More comes than was asked for."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if "content-range" in reply.headers:
            reply.body += b"surplus"


class SendsTheWhole(Quirk):
    """The whole object comes in place of a range of it, as HTTP allows."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if reply.headers.pop("content-range", None):
            reply.status, reply.body = 200, ask(connection, request.path)


class SendsNothing(Quirk):
    """The object is empty, to those who look it up by its name."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.key.endswith(".log"):
            reply.status, reply.body = 200, b""
            reply.headers |= {"content-length": "0"}
            reply.headers.pop("content-range", None)


READS = {
    "logs": ("logs", "stdout.log", "--all"),
    "end": ("logs", "stdout.log", "-n", "5"),
    "matches": ("logs", "stdout.log", "--grep", "line"),
    "search": ("grep", "line", "--log", "stdout"),
}


@pytest.fixture
def execution(scene: Scene, small_parts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hurry(monkeypatch.setattr)
    tree = scene.write_tree({"stdout.log": LOG, "stderr.log": SMALL, "big.bin": FILE})
    execution = scene.new_execution()
    scene.cli("upload", execution, tree).ok()
    yield execution
    scene.recorder.heal()


def test_a_head_that_says_less_is_no_file(scene: Scene, execution: str) -> None:
    scene.recorder.inject(Server(HeadSaysLess()), times=None)
    target = scene.directory / "there"
    result = scene.cli("download", execution, "big.bin", "-o", target).expect(7)
    assert "65,536 bytes where it was looked up, and 200,000 in the listing" in result.err
    assert not [path for path in target.rglob("*") if path.is_file()]
    again = scene.cli("upload", execution, scene.write_tree({"big.bin": FILE}) / "big.bin").expect(
        7
    )
    assert "65,536 bytes where it was looked up, and 200,000 in the listing" in again.err
    assert "other content" not in again.err
    for command in ("verify", execution), ("logs", execution, "stdout.log", "-n", "5"):
        assert scene.cli(*command).expect(7).stdout.count(b"line") == 0
    # It would be the wrong size in the manifest for ever.
    scene.cli("finish", execution, "--result", "pass").expect(7)
    assert scene.record(execution)["status"] == "running"


@pytest.mark.parametrize("quirk", [HalfIsTheWhole(), AddsBytes(), SendsNothing()])
def test_a_part_of_a_log_is_not_shown_as_all_of_it(
    scene: Scene, execution: str, quirk: Quirk
) -> None:
    scene.recorder.inject(Server(quirk), times=None)
    for name, (command, *rest) in READS.items():
        # A search of many logs goes on.
        of = () if name == "search" else (execution,)
        result = scene.cli(command, *of, *rest).expect(3 if name == "search" else 7)
        assert result.stdout == b"", name


def test_a_whole_object_is_as_good_as_a_range_that_covers_it(scene: Scene, execution: str) -> None:
    scene.recorder.inject(Server(SendsTheWhole()), "GetObject", times=None)
    assert scene.cli("logs", execution, "stderr.log").ok().stdout == SMALL
    assert scene.cli("logs", execution, "stderr.log", "-n1").ok().stdout == LINE
    for options in ("--all",), ("-n", "1"):
        result = scene.cli("logs", execution, "stdout.log", *options).expect(7)
        assert result.stdout == b""
        assert "bytes came that were asked for" in result.err


def test_a_search_notices_that_a_long_log_was_changed_on_the_way(
    scene: Scene, execution: str
) -> None:
    scene.recorder.inject(CorruptAnswer(offset=3), "GetObject", times=None, key=r".*stdout\.log")
    result = scene.cli("grep", "nowhere", "--log", "stdout").expect(3)
    assert "stdout: read of" in result.err
    assert "do not match their checksum" in result.err
