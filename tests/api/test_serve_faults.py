"""The server with a failing storage, slow or many clients, and at its end."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.serving import WAIT, Serve, problem
from tests.support.commands.via import Tokens, Via, make_via
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.stored.executions import put_execution

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def execution(s3: S3Client, bucket: str) -> str:
    return put_execution(s3, bucket, files={"logs/stdout.log": b"x\n"})


def test_a_storage_that_hangs_is_answered_by_504_at_the_deadline(
    recorder: Proxy, serve: Serve, execution: str
) -> None:
    server = serve("--deadline", "1s")
    assert server.get(f"/executions/{execution}").status == 200
    recorder.inject(faults.Stall(), times=None)
    files = {"files": [{"path": "a", "size_bytes": 0, "sha256": "0" * 64}]}
    for response in (
        server.get(f"/executions/{execution}"),
        server.get(f"/executions/{execution}/artifacts"),
        server.post(f"/executions/{execution}/uploads", files),
    ):
        problem(response, 504, "timeout")
    assert server.get("/healthz").status == 200
    # Requests whose clients have left do not keep the server from ending.
    assert server.stop() == 0
    assert any(one.status is None for one in recorder.exchanges)


def test_a_storage_that_refuses_is_answered_by_502_without_secrets(
    recorder: Proxy, serve: Serve, execution: str
) -> None:
    server = serve()
    for code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        rule = recorder.inject(faults.Answer(403, code, "of s3cr3t?X-Amz-Signature=1"), times=None)
        for path in ("", "/uploads", "/logs/stdout"):
            body = problem(server.get(f"/executions/{execution}{path}"), 502, "storage-access")
            assert body["exit_code"] == 5
            assert "X-Amz" not in str(body)
        assert rule.struck
        recorder.heal()
    assert server.stop() == 0
    assert "X-Amz" not in "".join(server.log)


def test_too_many_requests_are_refused(recorder: Proxy, serve: Serve, execution: str) -> None:
    server = serve("--concurrency", "1")
    hold = faults.Hold("head")
    recorder.inject(hold, "GetObject", times=None)
    path = f"/executions/{execution}"
    with ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(server.get, path) for _ in range(6)]
        # One request is worked on and four wait, so the sixth is refused with 503.
        while not any(one.done() for one in asked):
            assert not hold.released.wait(0.05)
        assert hold.reached.wait(WAIT)
        (refused,) = [one.result() for one in asked if one.done()]
        assert int(refused.headers["retry-after"]) > 0
        problem(refused, 503, "busy")
        assert server.get("/healthz").status == 200
        hold.released.set()
        assert sorted(one.result().status for one in asked) == [200] * 5 + [503]


def test_it_finishes_begun_requests_before_it_exits(
    recorder: Proxy, serve: Serve, execution: str
) -> None:
    server = serve()
    hold = faults.Hold("head")
    recorder.inject(hold, "GetObject")
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(server.get, f"/executions/{execution}")
        assert hold.reached.wait(WAIT)
        server.ask_to_stop()
        # From now on it accepts no requests.
        while _connects(server.port):
            assert not asked.done()
        hold.released.set()
        response = asked.result(WAIT)
    assert (response.status, response.json()["execution_id"]) == (200, execution)
    assert server.wait() == 0


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_body_that_never_comes_is_waited_for_until_the_deadline(
    serve: Serve, tokens: Tokens, execution: str
) -> None:
    via = make_via(serve, tokens, "--deadline", "1s")
    head = (
        f"POST /executions/{execution}/uploads HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {tokens.upload}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    for begin in (head, head + '{"files": ['):
        with socket.create_connection(("127.0.0.1", via.server.port), timeout=WAIT) as slow:
            slow.sendall(begin.encode())
            with contextlib.suppress(ConnectionResetError):
                while slow.recv(4096):
                    pass
    assert via.server.get("/healthz").status == 200


def test_the_log_has_neither_tokens_nor_urls(via: Via, execution: str) -> None:
    path = f"/executions/{execution}/uploads"
    files = {"files": [{"path": "a", "size_bytes": 0, "sha256": "0" * 64}]}
    assert b"X-Amz-Signature" in via.server.post(path, files, **via.bearer).data
    for headers in ({"Authorization": "Bearer orc_wrong"}, {"Authorization": "orc_bare"}):
        problem(
            via.server.post(f"{path}?token=orc_query", files, **headers), 401, "unauthenticated"
        )
    problem(via.server.get("/executions", headers=via.bearer), 403, "forbidden")
    problem(
        via.server.get(f"/executions/{execution}/artifacts", headers=via.bearer),
        403,
        "forbidden",
    )
    reader = {"Authorization": f"Bearer {via.tokens.read}"}
    problem(via.server.post(path, files, **reader), 403, "forbidden")
    problem(via.server.get(path, headers=reader), 403, "forbidden")
    # Neither an encoded slash nor dots lead out of the paths that a token allows.
    for outside in (
        f"{path}/..",
        f"{path}%2F..%2Fartifacts",
        f"/executions/{execution}/uploads/../artifacts",
    ):
        assert via.server.get(outside, headers=via.bearer).status in (403, 404, 405)
    assert via.server.stop() == 0
    log = "".join(via.server.log)
    assert log.count('"token": "bench"') >= 3
    for secret in ("orc_", "X-Amz", "Traceback"):
        assert secret not in log
