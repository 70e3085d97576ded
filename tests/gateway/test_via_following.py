"""`logs -f --via` where the server, S3 or the writer goes away, or what was written has expired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from orchestrator_cli.cli import waiting_notice
from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import live_segment_key
from orchestrator_cli.core.gateway.client.connection import GatewayConnection, ViaSettings
from orchestrator_cli.core.gateway.client.logs.log_follower import ServedLogFollower
from orchestrator_cli.core.gateway.client.logs.served_log import ServedLog
from orchestrator_cli.core.gateway.client.source import GatewaySource
from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, Notice
from tests.support.commands.serving import Serve
from tests.support.commands.via import Tokens, Via, make_via, via_environment
from tests.support.proxy.faults import Fault, ResetBefore, Stall, Waiting, slow_down
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.scene import Scene
from tests.support.stored.executions import put_execution
from tests.support.stored.live import Clock, LogWriter, inject_later_date

LOG = "stdout.log"


@dataclass(frozen=True)
class TurnedPolicy(RetryPolicy):
    """Sends nothing again by itself, and waits on a clock that tests turn."""

    turned: Clock = field(default_factory=Clock)

    def wait(self, seconds: float) -> None:
        self.turned.wait(seconds)


@pytest.fixture
def out(scene: Scene) -> LogWriter:
    writer = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    writer.write(b"one\n")
    writer.beat()
    return writer


@pytest.fixture
def via(recorder: Proxy, serve: Serve, tokens: Tokens) -> Via:
    """One whose server waits for no more than a second."""
    return make_via(serve, tokens, "--deadline", "2s")


@pytest.fixture
def gateway(via: Via) -> Iterator[Proxy]:
    """A proxy between a reader and the server."""
    with run_proxy(via.url) as proxy:
        yield proxy


class Following:
    """A follower in turned time, and what it has told."""

    def __init__(self, gateway: Proxy, via: Via, out: LogWriter, give_up: GiveUpPolicy) -> None:
        self.clock = Clock()
        self.notices: list[Notice] = []
        policy = TurnedPolicy(attempts=1, patience_seconds=0, clock=self.clock, turned=self.clock)
        settings = ViaSettings(gateway.endpoint_url, via.tokens.read)
        connection = GatewayConnection(settings, policy)
        self.progress = connection.retry.progress
        source = GatewaySource(connection)
        served = ServedLog(source.objects, out.execution_id, LOG)
        self._chunks = ServedLogFollower(
            served,
            0,
            give_up,
            lambda notice, _: self.notices.append(notice),
            lambda: source.read_record(out.execution_id)["status"] == "running",
        ).chunks()

    def next(self) -> bytes:
        return bytes(next(self._chunks).data)

    def rest(self) -> bytes:
        return b"".join(chunk.data for chunk in self._chunks)


def test_no_byte_is_missed_while_the_server_or_its_s3_is_away(
    recorder: Proxy, via: Via, gateway: Proxy, out: LogWriter
) -> None:
    following = Following(gateway, via, out, GiveUpPolicy(60))
    assert following.next() == b"one\n"
    gateway.inject(ResetBefore(), times=None)
    out.write(b"two\n")
    following.clock.at(50, gateway.heal)
    assert following.next() == b"two\n"
    assert following.notices == [Notice.UNREACHABLE, Notice.REACHED_AGAIN]
    recorder.inject(slow_down(), times=None)
    out.write(b"three\n")
    following.clock.at(52, recorder.heal)
    assert following.next() == b"three\n"
    assert following.notices == [Notice.UNREACHABLE, Notice.REACHED_AGAIN] * 2
    out.write(b"")
    out.store()
    assert following.rest() == b""


@pytest.mark.parametrize("waits_forever", [False, True])
def test_server_that_stays_away_is_given_up_where_nobody_watches(
    via: Via, gateway: Proxy, out: LogWriter, waits_forever: bool
) -> None:
    following = Following(gateway, via, out, GiveUpPolicy(60, waits_forever))
    assert following.next() == b"one\n"
    gateway.inject(ResetBefore(), times=None)
    following.clock.at(1000, gateway.heal)
    following.clock.at(1000, lambda: out.write(b"two\n"))
    if waits_forever:
        assert following.next() == b"two\n"
        return
    with pytest.raises(UnavailableError) as gone:
        following.next()
    assert gone.value.exit_code == 9
    assert 60 < following.clock.now - 1000 < 70


def test_a_silent_server_is_told_of(
    scene: Scene, via: Via, gateway: Proxy, out: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = {**via_environment(via.tokens.read), "ORCHESTRATOR_VIA": gateway.endpoint_url}
    silence = f"no answer from {gateway.endpoint_url} or the storage behind it yet; still waiting\n"
    monkeypatch.setattr(waiting_notice, "WAIT_SECONDS", 0.05)
    gateway.inject(Stall(0.5))
    assert scene.cli("show", out.execution_id, env=reader).ok().err.count(silence) == 1


@dataclass
class TakesLong(Fault):
    """A server that answers after a minute, and what is known of its silence then."""

    following: Following
    silences: list[float] = field(default_factory=list)

    def request_head(self, waiting: Waiting) -> None:
        clock = self.following.clock
        clock.now += 60
        self.silences.append(self.following.progress.silent_seconds(clock.now))


def test_waiting_for_a_log_to_grow_is_no_silence(via: Via, gateway: Proxy, out: LogWriter) -> None:
    following = Following(gateway, via, out, GiveUpPolicy(600))
    slow = TakesLong(following)
    gateway.inject(slow, times=2)
    assert following.next() == b"one\n"
    out.write(b"two\n")
    assert following.next() == b"two\n"
    assert slow.silences == [60, 0]


def test_lost_writer_ends_it_and_one_that_is_back_does_not(
    scene: Scene, via: Via, out: LogWriter
) -> None:
    date = inject_later_date(scene.recorder, 301)
    reader = {**via_environment(via.tokens.read), "ORCHESTRATOR_VIA": via.url}
    lost = scene.cli("logs", "-f", out.execution_id, env=reader).expect(3)
    assert lost.out == "one\n"
    assert "stdout ends at byte 4 for now: its writer is lost" in lost.err
    assert f"orchestrator salvage {out.execution_id}" in lost.err
    # The execution has ended without the log.
    put_execution(out.s3, out.bucket, out.execution_id, status="completed", result="error")
    gone = scene.cli("logs", "-f", out.execution_id, env=reader).expect(3)
    assert (gone.out, "stdout was not stored; it ends at byte 4" in gone.err) == ("one\n", True)
    for env in (None, reader):
        shown = scene.cli("logs", out.execution_id, env=env).ok()
        assert (shown.out, "has ended without" in shown.err) == ("one\n", True)
    # Its heartbeat is back, and nothing else as yet.
    date.seconds = 0
    base = f"/executions/{out.execution_id}/logs/stdout/bytes"
    headers = {"Authorization": f"Bearer {via.tokens.read}"}
    answer = via.server.get(f"{base}?offset=4&wait=20", headers=headers)
    assert (answer.data, answer.headers["x-log-state"]) == (b"", "growing")


def test_beginning_that_has_expired_is_told(scene: Scene, via: Via, out: LogWriter) -> None:
    out.write(b"two\n")
    scene.s3.delete_object(Bucket=scene.bucket, Key=live_segment_key(out.execution_id, LOG, 0))
    reader = {**via_environment(via.tokens.read), "ORCHESTRATOR_VIA": via.url}
    for env in (None, reader):
        shown = scene.cli("logs", out.execution_id, env=env).ok()
        assert (shown.out, "stdout: the first 4 bytes have expired" in shown.err) == ("two\n", True)
        last = scene.cli("logs", out.execution_id, "-n", "1", env=env).ok()
        assert (last.out, "expired" in last.err) == ("two\n", False)
