"""`orchestrator serve` as a process, with requests by a real HTTP client."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.serving import WAIT, Serve, Server, problem
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

# No settings, and a GET of / in a frame of type HEADERS.
HTTP2_REQUEST = b"\0\0\0\4\0\0\0\0\0" + b"\0\0\6\1\5\0\0\0\1\x82\x84A\x81\x1f\x86"


def test_yesterdays_failures_are_found_with_their_logs(scene: Scene, serve: Serve) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    day = yesterday.replace(hour=0, minute=0, second=0, microsecond=0)
    ended: dict[str, Any] = {"status": "completed", "artifact_status": "complete"}
    failed = [
        scene.put_execution(
            make_id(day + timedelta(hours=hour)),
            {"logs/stdout.log": b"one\ntwo\n"},
            result="fail",
            test_suite="smoke",
            **ended,
        )
        for hour in (1, 2, 3)
    ]
    for hour, result, suite in ((4, "pass", "smoke"), (5, "fail", "other"), (30, "fail", "smoke")):
        execution_id = make_id(day + timedelta(hours=hour))
        scene.put_execution(execution_id, result=result, test_suite=suite, **ended)
    server = serve()
    window = f"since={day:%Y-%m-%d}&until={day + timedelta(days=1):%Y-%m-%d}"
    query, found, pages = f"/executions?{window}&result=fail&suite=smoke&limit=2", [], 0
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(query + (f"&cursor={cursor}" if cursor else "")).json()
        found += [one["execution_id"] for one in page["executions"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (found, pages) == (failed, 2)
    redirect = server.get(f"/executions/{failed[0]}/logs/stdout")
    assert redirect.status == 307
    log = server.http.request("GET", redirect.headers["location"])
    assert log.data == b"one\ntwo\n"
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert log.headers["content-disposition"] == "inline"
    tail = server.get(f"/executions/{failed[0]}/logs/stdout.log?tail=1")
    assert (tail.data, tail.headers["content-type"]) == (b"two\n", "text/plain; charset=utf-8")
    assert server.get(f"/executions/{failed[0]}").json()["test_suite"] == "smoke"


def test_files_come_in_pages_with_urls_that_work(scene: Scene, serve: Serve) -> None:
    names = [f"artifacts/custom/{n} ü+&%.txt" for n in range(5)] + ["logs/stdout.log"]
    files = {name: name.encode() for name in names}
    execution_id = scene.put_execution(files=files)
    server = serve("--expires-in", "10m")
    base = f"/executions/{execution_id}/artifacts"
    got: dict[str, bytes] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(f"{base}?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["artifacts"]) <= 2
        for one in page["artifacts"]:
            got[one["path"]] = server.http.request("GET", one["url"]).data
        cursor = page["next_cursor"]
        left = datetime.fromisoformat(page["expires_at"]) - datetime.now(UTC)
        assert left < timedelta(minutes=10)
    assert got == files
    globbed = server.get(f"{base}?glob=*.log").json()["artifacts"]
    assert [one["path"] for one in globbed] == ["logs/stdout.log"]
    prefixed = server.get(f"{base}?prefix=artifacts/").json()["artifacts"]
    assert len(prefixed) == 5
    assert server.get(f"{base}?prefix=nothing").json()["artifacts"] == []
    redirect = server.get(f"{base}/logs/stdout.log")
    assert redirect.status == 307
    whole = server.get(base)
    again = server.get(base, headers={"If-None-Match": whole.headers["etag"]})
    # The response changes every few minutes, when the URLs are signed again.
    assert again.status in (200, 304)
    metadata = server.get(f"/executions/{execution_id}")
    etag = {"If-None-Match": metadata.headers["etag"]}
    response = server.get(f"/executions/{execution_id}", headers=etag)
    assert (response.status, response.data) == (304, b"")
    packed = server.get(base, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"


def test_it_serves_on_ipv6(scene: Scene, cli_process: Processes) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    assert "not loopback" in scene.cli("serve", "--host", "::", "--port", "0").expect(2).err
    process = cli_process.start("serve", "--host", "::1", "--port", "0")
    assert process.stderr is not None
    told = process.stderr.readline().decode()
    found = re.search(r"http://\[::1\]:\d+", told)
    assert found, told
    execution_id = scene.put_execution()
    response = urllib3.request("GET", f"{found[0]}/executions/{execution_id}", retries=False)
    assert response.json()["execution_id"] == execution_id
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 0


UNSERVED = [
    ("/executions/nope", 400, "usage"),
    ("/executions/{other}", 404, "not-found"),
    ("/executions/{other}/artifacts", 404, "not-found"),
    ("/executions/{other}/logs/stdout", 404, "not-found"),
    ("/executions/{id}/logs/stderr?tail=3", 404, "not-found"),
    ("/executions/{id}/logs/passwd", 404, "not-found"),
    ("/executions/{id}/artifacts/%2e%2e/metadata.json", 404, "not-found"),
    ("/executions/{id}/artifacts/..%2F..%2Fx", 404, "not-found"),
    ("/executions/{id}/artifacts/metadata.json", 404, "not-found"),
    ("/executions/{id}/files/metadata.json", 404, "not-found"),
    ("/executions/{other}/files/logs/stdout.log", 404, "not-found"),
    ("/executions/{id}/artifacts/a%0d%0aX-Injected:%201", 404, "not-found"),
    ("/executions/{id}/artifacts?cursor=!!", 400, "usage"),
    ("/executions/{id}/artifacts?cursor=Zm9v", 400, "usage"),
    ("/executions/{id}/artifacts?limit=100000", 400, "usage"),
    ("/executions/{id}/artifacts?prefix=%00", 400, "usage"),
    ("/executions?since=gestern", 400, "usage"),
    ("/executions?since=1d&until=2d", 400, "usage"),
    ("/executions?result=green", 400, "usage"),
]


def test_errors_are_problem_responses(shared: tuple[Server, str]) -> None:
    server, execution_id = shared
    for path, status, kind in UNSERVED:
        response = server.get(path.format(id=execution_id, other=make_id(number=7)))
        body = problem(response, status, kind)
        assert body["exit_code"] == {"usage": 2, "not-found": 4}[kind]
        assert "x-injected" not in response.headers


@pytest.fixture
def shared(scene: Scene, serve: Serve) -> tuple[Server, str]:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x\n"})
    return serve(), execution_id


def test_a_token_is_asked_for_and_can_be_revoked(scene: Scene, serve: Serve) -> None:
    made = scene.cli("serve", "--new-token", "grafana").ok()
    token, file = made.err.strip(), scene.directory / "tokens"
    assert token not in made.out
    file.write_text(made.out)
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x\n"})
    server = serve("--host", "0.0.0.0", "--tokens", str(file))
    server.url = f"http://127.0.0.1:{server.port}"
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.get("/healthz").status == 200
    assert server.get("/readyz").status == 200
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {token}"}):
        response = server.get(f"/executions/{execution_id}", headers=wrong)
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    assert server.get(f"/executions/{execution_id}?secret=hush", headers=bearer).status == 200
    problem(server.get("/executions", "POST", headers=bearer), 403, "forbidden")
    other = scene.cli("serve", "--new-token", "second").ok()
    file.write_text(other.out)
    problem(server.get("/executions", headers=bearer), 401, "unauthenticated")
    renewed = {"Authorization": f"Bearer {other.err.strip()}"}
    assert server.get("/executions", headers=renewed).status == 200
    assert server.stop() == 0
    log = "".join(server.log)
    assert [json.loads(line) for line in server.log]
    assert '"token": "grafana"' in log
    for secret in (token, other.err.strip(), "hush", "X-Amz", "Traceback"):
        assert secret not in log


def test_other_addresses_need_tokens(scene: Scene) -> None:
    refused = scene.cli("serve", "--host", "0.0.0.0", "--port", "0").expect(2)
    assert "not loopback" in refused.err
    (scene.directory / "tokens").write_text("grafana read secret-in-the-wrong-place\n")
    bad = scene.cli("serve", "--port", "0", "--tokens", scene.directory / "tokens").expect(2)
    assert "line 1" in bad.err
    assert "secret" not in bad.err
    (scene.directory / "empty").write_text("# none\n")
    scene.cli("serve", "--port", "0", "--tokens", scene.directory / "empty").expect(2)


def test_hostile_requests_are_refused_by_a_status_each(shared: tuple[Server, str]) -> None:
    server, _ = shared
    problem(server.get("/executions", headers={"Host": "evil.example"}), 421, "http")
    problem(server.get("/executions?suite=" + "x" * 9000), 414, "too-large")
    problem(server.get("/executions", "POST", body=b"x" * 2_000_000), 413, "too-large")
    problem(server.get("/executions", "DELETE"), 405, "http")
    chunked = server.get("/executions", "POST", body=iter([b"0"]))
    assert problem(chunked, 413, "too-large")
    # A proxy may have read another length, so the rest could be a request of another client.
    assert chunked.headers["connection"] == "close"
    with socket.create_connection(("127.0.0.1", server.port), WAIT) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HTTP2_REQUEST)
        said = b"".join(iter(lambda: client.recv(65536), b""))
    # The server closes the connection by a GOAWAY frame.
    assert b"\x00\x00\x08\x07\x00" in said
    assert server.get("/executions", headers={"X-Long": "x" * 30_000}).status == 431
    with contextlib.suppress(urllib3.exceptions.ProtocolError):
        assert server.get("/executions", headers={"X-Long": "x" * 200_000}).status in (400, 431)
    assert server.get("/healthz").status == 200


def test_a_slow_client_is_dropped(serve: Serve) -> None:
    server = serve("--deadline", "1s")
    for begin in (b"", b"GET /healthz HTTP/1.1\r\nHost: localh", b"GET /docs HTTP/1.1\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as slow:
            slow.sendall(begin)
            # The server gives up at its time limit.
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(1) == b""
    assert server.get("/healthz").status == 200


def test_a_storage_that_is_away_is_answered_by_503(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    server = serve("--deadline", "50s")
    response = server.get("/executions")
    assert problem(response, 503, "unavailable")["exit_code"] == 9
    assert int(response.headers["retry-after"]) > 0
    assert server.get("/healthz").status == 200


# --- metrics -----------------------------------------------------------------------------


def test_requests_are_counted_by_route(scene: Scene, serve: Serve) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x\n"})
    server = serve()
    for path in (f"/executions/{execution_id}", f"/executions/{make_id()}", "/nothing", "/healthz"):
        server.get(path)
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {one.name: one for one in text_string_to_metric_families(response.data.decode())}
    counted = {
        tuple(sample.labels[name] for name in ("method", "route", "status")): sample.value
        for sample in families["orchestrator_http_requests"].samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("GET", "/executions/{execution_id}", "200"): 1,
        ("GET", "/executions/{execution_id}", "404"): 1,
        ("GET", "/healthz", "200"): 1,
        ("GET", "other", "404"): 1,
    }
    (flying,) = families["orchestrator_http_requests_in_flight"].samples
    assert flying.value == 1
    seconds = families["orchestrator_http_request_duration_seconds"].samples
    assert sum(one.value for one in seconds if one.name.endswith("_count")) == 4


def test_metrics_need_the_token_too(serve: Serve, cli: RunCommand, tmp_path: Path) -> None:
    made = cli("serve", "--new-token", "prometheus").ok()
    file = tmp_path / "tokens"
    file.write_text(made.out)
    server = serve("--tokens", str(file))
    assert server.get("/metrics").status == 401
    bearer = {"Authorization": f"Bearer {made.err.strip()}"}
    response = server.get("/metrics", headers=bearer)
    assert response.status == 200
    assert b'status="401"' in response.data


def test_a_port_that_is_used_is_said_in_words(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        refused = scene.cli("serve", "--port", str(port)).expect(2)
    said = os.strerror(errno.EADDRINUSE)
    assert refused.err == f"error: cannot listen on 127.0.0.1:{port}: {said}\n"
