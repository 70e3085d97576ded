"""`serve` reads parts of a log that is still being written, and waits for more of it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from orchestrator_cli.core.executions.keys import live_segment_key
from tests.support.commands.serving import Serve, problem
from tests.support.scene import Scene
from tests.support.stored.live import LogWriter, inject_later_date

MIB = 1024 * 1024
LISTENERS = 50


def test_fifty_followers_of_a_growing_log_cost_as_many_requests_as_one(
    scene: Scene, serve: Serve
) -> None:
    writer = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    lines = b"".join(b"%07d\n" % number for number in range(200_000))
    writer.write(*(lines[start : start + 300_000] for start in range(0, len(lines), 300_000)))
    writer.write("größe".encode()[:4])
    writer.beat()
    server = serve()
    base = f"/executions/{writer.execution_id}/logs/stdout/bytes"
    times = []
    for query, offset, length in (
        ("?offset=-10", len(writer.written) - 10, 10),
        ("?offset=-1200000&length=16", len(writer.written) - 1_200_000, 16),
        ("?offset=0&length=1048576", 0, MIB),
        ("?offset=300001&length=700000", 300_001, 700_000),
        ("?offset=99999999", len(writer.written), 0),
    ):
        response = server.get(base + query)
        assert (response.status, response.data) == (
            200,
            writer.written[offset : offset + length],
        ), query
        told = [response.headers[f"x-log-{name}"] for name in ("offset", "size", "state", "line")]
        times.append(response.headers.get("x-log-time"))
        line = writer.written[:offset].count(b"\n")
        assert told == [str(offset), str(len(writer.written)), "growing", str(line)], query
        assert "etag" not in response.headers
    assert times[2:4] == ["1970-01-01T00:00:00.001Z", "1970-01-01T00:00:01.001Z"]
    end = len(writer.written)
    scene.recorder.clear()
    server.http.connection_pool_kw["maxsize"] = LISTENERS
    with ThreadPoolExecutor(LISTENERS) as listeners:
        answers = [
            listeners.submit(server.get, f"{base}?offset={end}&wait=20") for _ in range(LISTENERS)
        ]
        # A miss: a client has polled, and waits.
        scene.recorder.wait_for(lambda made: any(one.status == 404 for one in made))
        writer.write("größe".encode()[4:] + b"\n")
        more = [response.result() for response in answers]
    assert {response.data for response in more} == {writer.written[end:]}
    assert {response.headers["x-log-state"] for response in more} == {"growing"}
    assert set(scene.recorder.operations()) == {"GetObject"}
    # One read of the new segment, and misses; a slow machine has more of them.
    assert scene.recorder.count() < LISTENERS / 2
    writer.write(b"")
    writer.store(writer.written + b"what came too late to be live\n")
    final = server.get(f"{base}?offset={len(writer.written)}&wait=20")
    assert final.data == b"what came too late to be live\n"
    assert final.headers["x-log-state"] == "final"
    whole = server.get(f"{base}?offset=-10")
    assert whole.data == b"o be live\n"
    assert whole.headers["x-log-state"] == "final"
    assert "etag" in whole.headers


def test_a_growing_log_is_returned_as_text(scene: Scene, serve: Serve) -> None:
    writer = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    lines = [f"{number} größe\n".encode() for number in range(100)]
    writer.write(*lines, random.Random(5).randbytes(3 * MIB), b"no newline")
    writer.beat()
    server = serve()
    path = f"/executions/{writer.execution_id}/logs/stdout"
    response = server.get(path, redirect=False)
    assert (response.status, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert response.data == writer.written
    # Not one request for each segment.
    assert scene.recorder.count("ListObjectsV2") < 10
    head = server.get(path, "HEAD", redirect=False)
    assert (head.status, head.headers["content-type"]) == (200, response.headers["content-type"])
    for count in (1, 3, 10_000):
        last = b"\n".join(writer.written.rsplit(b"\n", count)[1:])
        assert server.get(f"{path}?tail={count}").data == last
    assert server.get(f"{path}?tail=100000").data == writer.written
    assert server.get(f"{path}?tail=0").data == b""
    # Everything after a gap is left out.
    scene.s3.delete_object(
        Bucket=scene.bucket, Key=live_segment_key(writer.execution_id, writer.log, 0)
    )
    assert server.get(path).data == writer.written[len(lines[0]) :]
    page = server.get(f"/ui/executions/{writer.execution_id}/logs/stdout").data.decode()
    assert page.count(f'href="../../../../executions/{writer.execution_id}/logs/stdout"') == 3
    problem(server.get(f"/executions/{writer.execution_id}/logs/stderr"), 404, "not-found")


def test_logs_of_a_lost_writer_and_logs_that_do_not_exist(scene: Scene, serve: Serve) -> None:
    writer = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    writer.write(b"one\n")
    writer.beat()
    date = inject_later_date(scene.recorder, 400)
    server = serve("--deadline", "2s")
    base = f"/executions/{writer.execution_id}/logs"
    response = server.get(f"{base}/stdout.log/bytes?offset=4&wait=20")
    assert (response.status, response.data, response.headers["x-log-state"]) == (200, b"", "lost")
    pages = ("/ui/", f"/ui/executions/{writer.execution_id}")
    for path in pages:
        assert b"? lost</span>" in server.get(path).data
    told = server.get(pages[1]).data
    assert f"orchestrator salvage {writer.execution_id}".encode() in told
    assert b"its writer is lost" in told
    date.seconds = 0
    writer.write(b"two\n")
    again = server.get(f"{base}/stdout/bytes?offset=4&wait=20")
    assert (again.data, again.headers["x-log-state"]) == (b"two\n", "growing")
    for count, last in ((1, b"two\n"), (2, b"one\ntwo\n")):
        assert server.get(f"{base}/stdout?tail={count}").data == last
    for path in pages:
        assert "● running</span>" in server.get(path).data.decode()
    for path in (f"{base}/stderr/bytes", f"{base}/nothing/bytes"):
        problem(server.get(f"{path}?wait=1"), 404, "not-found")
    problem(server.get(f"{base}/stdout/bytes?wait=21"), 400, "usage")
