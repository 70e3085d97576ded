"""Pagination of the API: the requests of a page, and its cursor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.commands.serving import Serve
from tests.support.scene import Scene
from tests.support.stored.executions import make_id


def test_a_short_page_lists_no_more_keys_than_needed(scene: Scene, serve: Serve) -> None:
    files = {f"artifacts/custom/{n}": b"" for n in range(5)}
    execution_id = scene.put_execution(files=files)
    server = serve()
    asked: list[str | None] = []
    for query, count, more in (
        ("limit=2", 2, True),
        # metadata.json, which comes after the last file, is not a next page.
        ("limit=5", 5, False),
        ("limit=1000", 5, False),
        ("limit=2&glob=*/4", 1, False),
    ):
        scene.recorder.clear()
        page = server.get(f"/executions/{execution_id}/artifacts?{query}").json()
        assert (len(page["artifacts"]), page["next_cursor"] is not None) == (count, more)
        (listing,) = scene.recorder.calls("ListObjectsV2")
        asked.append(listing.request.query.get("max-keys"))
    assert asked == ["3", "6", None, None]
    scene.recorder.clear()
    assert server.get("/readyz").status == 200
    assert server.get(f"/executions/{execution_id}/artifacts/nothing").status == 404
    assert [one.request.query["max-keys"] for one in scene.recorder.calls("ListObjectsV2")] == [
        "1",
        "1",
    ]


def test_a_cursor_works_on_every_replica(scene: Scene, serve: Serve) -> None:
    now = datetime.now(UTC) - timedelta(hours=1)
    ids = [scene.put_execution(make_id(now, number)) for number in range(5)]
    replicas = [serve(), serve()]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = replicas[len(found) % 2].get(f"/executions?limit=1&cursor={cursor}").json()
        found += [one["execution_id"] for one in page["executions"]]
        cursor = page["next_cursor"]
    assert found == ids
