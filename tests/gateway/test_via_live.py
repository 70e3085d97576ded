"""Live logs through a server: the same as directly, for those with a token, and nobody else."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import live_log_prefix, live_prefix
from orchestrator_cli.core.gateway.client.connection import GatewayConnection, ViaSettings
from orchestrator_cli.core.gateway.client.logs.live_store import GatewayLiveStore
from orchestrator_cli.core.gateway.limits import MAX_SENT_SEGMENT_BYTES
from tests.live import writing
from tests.live.writing import ID, OUT, stored_log, stored_state
from tests.runner.test_run import wait_for
from tests.support.commands.running import Processes
from tests.support.commands.serving import problem
from tests.support.commands.via import Via
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.scene import Scene

DATA = b"one\n"
FIELDS = {
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "line": 0,
    "t0_ms": 1,
    "t1_ms": 2,
    "writer": "a1" * 16,
}


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_execution(ID)


@pytest.fixture
def gateway(via: Via) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with run_proxy(via.url) as proxy:
        yield proxy


@pytest.fixture
def remote(via: Via, gateway: Proxy, execution: str, tmp_path: Path) -> Iterator[writing.LoggedRun]:
    """A writer that has a token only."""
    settings = ViaSettings(gateway.endpoint_url, via.tokens.upload)
    connection = GatewayConnection(settings, RetryPolicy(attempts=1))
    remote = writing.LoggedRun(tmp_path / "remote", GatewayLiveStore(connection, execution))
    yield remote
    remote.close()


def line(number: int) -> bytes:
    return f"line {number}\n".encode()


def test_live_logs_are_whole_whatever_happens_on_the_way(
    scene: Scene, remote: writing.LoggedRun, gateway: Proxy
) -> None:
    for fault in (faults.DropAnswer(), faults.ResetBefore(), faults.Answer(503, "SlowDown")):
        gateway.inject(fault, key="live", times=None, probability=0.1)
    remote.run(80, line)
    gateway.heal()
    remote.append(b"x" * (2 * MAX_SENT_SEGMENT_BYTES) + b"\nend")
    remote.writer.finish(60)
    assert remote.notes == []
    stored = stored_log(scene.s3, scene.bucket)
    assert stored.data.startswith(b"".join(map(line, range(80))))
    assert stored.data.endswith(b"x\nend")
    assert (max(stored.sizes), stored.ended) == (MAX_SENT_SEGMENT_BYTES, True)
    state = stored_state(scene.s3, scene.bucket)
    assert (state.ended, state.logs[OUT].line) == (True, 81)


def test_fresh_heartbeat_of_a_direct_writer_fences_one_through_the_server(
    scene: Scene, remote: writing.LoggedRun
) -> None:
    direct = writing.LoggedRun(
        scene.directory / "direct", writing.s3_store(scene.bucket), writer_id="b2" * 16
    )
    direct.append(b"mine\n")
    direct.writer.step()
    direct.close()
    remote.append(b"theirs\n")
    assert remote.writer.step() is None
    assert "its last sign of life" in remote.notes[0]
    assert stored_log(scene.s3, scene.bucket).data == b"mine\n"


def test_pipe_is_live_through_a_server(scene: Scene, cli_process: Processes, via: Via) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    name = "artifacts/custom/a b+ü?.log"
    process = cli_process.start(
        *("upload", execution_id, "-", "--name", name, "--live", *via.options),
        stdin=subprocess.PIPE,
        env=via.env,
    )
    assert process.stdin is not None
    process.stdin.write(DATA)
    process.stdin.flush()
    prefix = live_log_prefix(execution_id, name)
    wait_for(lambda: scene.list_keys(prefix) == [f"{prefix}{0:020d}"])
    process.stdin.close()
    assert process.wait() == 0
    stored = stored_log(scene.s3, scene.bucket, name, execution_id)
    assert (stored.data, stored.ended) == (DATA, True)
    assert b"off" not in (process.stderr.read() if process.stderr else b"")


# --- as any HTTP client meets them -----------------------------------------------------------


def put(via: Via, path: str, body: bytes, **fields: Any) -> urllib3.BaseHTTPResponse:
    token = {"Authorization": f"Bearer {fields.pop('token', via.tokens.upload)}"}
    kind = {"Content-Type": fields.pop("kind", "application/octet-stream")}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    path = f"/executions/{path}{'?' if query else ''}{query}"
    return via.server.get(path, "PUT", body=body, headers=token | kind)


def test_segment_is_created_once(scene: Scene, via: Via, execution: str) -> None:
    path = f"{execution.lower()}/live/{OUT}/0"
    for outcome in ("created", "identical"):
        # Ours, whatever it says of itself the second time.
        told = put(via, path, DATA, **FIELDS | {"t1_ms": len(outcome)}).json()
        assert told["outcome"] == outcome
        assert told["stored"] == {"offset": 0, "size_bytes": 4, **FIELDS, "t1_ms": 7}
    other = FIELDS | {"sha256": hashlib.sha256(b"two\n").hexdigest(), "writer": "b2" * 16}
    told = put(via, path, b"two\n", **other).json()
    assert (told["outcome"], told["stored"]["writer"]) == ("conflict", FIELDS["writer"])
    assert stored_log(scene.s3, scene.bucket).data == DATA


def test_what_is_no_segment_is_refused(scene: Scene, via: Via, execution: str) -> None:
    def refuse(path: str, status: int = 400, kind: str = "usage", **fields: Any) -> None:
        body = fields.pop("body", DATA)
        problem(put(via, f"{execution}/live/{path}", body, **FIELDS | fields), status, kind)

    refuse("stdout.log/0", body=b"other")
    refuse("stdout.log/0", 413, "too-large", body=b"x" * (MAX_SENT_SEGMENT_BYTES + 1))
    for path in ("stdout.log/-1", "stdout.log/1e3", "other.log/0", "artifacts/%2e%2e/x/0"):
        refuse(path)
    refuse("stdout.log/0", writer="x")
    refuse("stdout.log/0", line=-1)
    assert scene.list_keys("live/") == []


def test_only_who_may_upload_to_an_execution_writes_its_live_logs(
    scene: Scene, via: Via, execution: str
) -> None:
    path = f"{execution}/live/{OUT}/0"
    other_bench = via.tokens.make("other", "--scope", "upload", "--bench", "bench-9")
    other_execution = via.tokens.make(
        "one", "--scope", "upload", "--execution", "01JABCDEFGHJKMNPQRSTVWXYZ1"
    )
    for token in (via.tokens.read, other_bench, other_execution):
        problem(put(via, path, DATA, **FIELDS, token=token), 403, "forbidden")
    reader = {"Authorization": f"Bearer {via.tokens.read}"}
    problem(via.server.get(f"/executions/{path}", headers=reader), 403, "forbidden")
    problem(put(via, path, DATA, **FIELDS, token="none"), 401, "unauthenticated")
    nobody = "01JABCDEFGHJKMNPQRSTVWXYZ1"
    problem(put(via, f"{nobody}/live/{OUT}/0", DATA, **FIELDS), 404, "not-found")
    assert scene.list_keys(live_prefix(execution)) == []


def test_heartbeat_is_compared_and_swapped(via: Via, execution: str) -> None:
    path = f"{execution}/live/state.json"
    state = {
        "version": 1, "writer": FIELDS["writer"], "epoch": 1, "host": "h", "pid": 1,
        "interval_seconds": 1.0, "logs": {}, "colour": "blue",
    }  # fmt: skip

    def swap(etag: str | None, **changes: Any) -> urllib3.BaseHTTPResponse:
        body = json.dumps({"etag": etag, "state": state | changes}).encode()
        return put(via, path, body, kind="application/json")

    problem(via.server.get(f"/executions/{path}", headers=via.bearer), 404, "not-found")
    first = swap(None).json()["etag"]
    problem(swap(None, epoch=2), 409, "conflict")
    second = swap(first, epoch=2).json()["etag"]
    problem(swap(first, epoch=3), 409, "conflict")
    told = via.server.get(f"/executions/{path}", headers=via.bearer).json()
    assert (told["etag"], told["state"]) == (second, state | {"epoch": 2})
    assert 0 <= told["age_seconds"] < 60
    for wrong in ({"writer": "x"}, {"pid": "1"}, {"host": "x" * 300_000}, {"logs": {"x": 1}}):
        problem(swap(second, **wrong), 400, "usage")
    problem(swap("a\r\nb"), 400, "usage")
