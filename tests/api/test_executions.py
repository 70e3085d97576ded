"""`GET /executions`: filters, order, and records that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.commands.serving import Serve, Server, problem
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_metadata

NOW = datetime.now(UTC)
FINISHED = {"status": "completed", "artifact_status": "complete"}
KINDS: list[dict[str, Any]] = [
    {"result": "pass", "test_suite": "smoke", **FINISHED},
    {"result": "fail", "test_suite": "smoke", "labels": {"branch": "main", "n": "1"}, **FINISHED},
    {"runner_type": "onprem", "bench_id": "bench-7", "labels": {"branch": "main"}},
    {"runner_type": "ec2", "reservation_id": "r-1"},
]


@pytest.fixture
def four(scene: Scene) -> list[str]:
    """One execution of each kind, an hour apart, oldest first."""
    return [
        scene.put_execution(make_id(NOW - timedelta(hours=8 - number)), **kind)
        for number, kind in enumerate(KINDS)
    ]


def found(server: Server, query: str) -> list[str]:
    response = server.get(f"/executions?{query}")
    assert response.status == 200, response.data
    return [one["execution_id"] for one in response.json()["executions"]]


def test_filters_match_what_ls_matches(serve: Serve, four: list[str]) -> None:
    server = serve()
    for query, expected in (
        ("result=fail", [1]),
        ("result=fail&result=pass", [0, 1]),
        ("suite=smoke", [0, 1]),
        ("label=branch%3Dmain", [1, 2]),
        ("label=branch%3Dmain&label=n%3D1", [1]),
        ("bench=bench-7", [2]),
        ("runner_type=ec2", [3]),
        ("runner_type=ec2&runner_type=onprem", [2, 3]),
        ("reservation=r-1", [3]),
        ("artifact_status=pending", [2, 3]),
        ("artifact_status=complete&result=fail", [1]),
        ("bench=other", []),
    ):
        assert found(server, query) == [four[number] for number in expected], query
        newest = [four[number] for number in reversed(expected)]
        assert found(server, f"{query}&order=newest") == newest, query
    for wrong in ("label=x", "runner_type=moon", "order=sideways", "artifact_status=fine"):
        problem(server.get(f"/executions?{wrong}"), 400, "usage")


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_cursors_continue_in_both_orders(scene: Scene, serve: Serve, order: str) -> None:
    since = NOW - timedelta(days=40)
    ids = [scene.put_execution(make_id(NOW, number)) for number in range(3)]
    ids += [
        scene.put_execution(make_id(NOW - timedelta(hours=hours)))
        for hours in (1, 2, 3, 30, 200, 900)
    ]
    scene.put_execution(make_id(since - timedelta(hours=1)))
    server = serve()
    query, got = f"since={since:%Y-%m-%dT%H:%M:%SZ}&order={order}&limit=2", []
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(f"/executions?{query}" + (f"&cursor={cursor}" if cursor else "")).json()
        got += [one["execution_id"] for one in page["executions"]]
        cursor = page["next_cursor"]
        if cursor:
            turned = {"oldest": "newest", "newest": "oldest"}[order]
            response = server.get(f"/executions?order={turned}&cursor={cursor}")
            problem(response, 400, "usage")
    assert got == sorted(ids, reverse=order == "newest")


def test_a_huge_record_is_listed_as_unreadable(scene: Scene, serve: Serve) -> None:
    good = scene.put_execution(make_id(NOW, 1))
    huge = make_id(NOW, 2)
    put_metadata(scene.s3, scene.bucket, huge, b'{"execution_id": "' + b"x" * 20_000_000 + b'"}')
    empty = make_id(NOW, 3)
    put_metadata(scene.s3, scene.bucket, empty, b"")
    page = serve().get("/executions").json()
    assert [one["execution_id"] for one in page["executions"]] == [good]
    told = {one["execution_id"]: one["error"] for one in page["unreadable"]}
    assert told.keys() == {huge, empty}
    assert "larger than 1,048,576 bytes" in told[huge]
