"""The newest executions of a bucket that lists the oldest first, however crowded a time was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from orchestrator_cli.core.executions.listings import newest
from orchestrator_cli.core.executions.listings.newest import NewestIds
from tests.support.scene import Scene
from tests.support.stored.engine import open_store
from tests.support.stored.executions import make_id, put_keys


def test_a_crowded_time_is_not_listed_whole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "PAGE_KEYS", 20)
    now = datetime.now(UTC)
    crowd = [make_id(now - timedelta(minutes=1, seconds=n * 9), n) for n in range(300)]
    alone = [make_id(now - timedelta(days=days)) for days in (0, 40)]
    at_once = [make_id(now - timedelta(days=50), n) for n in range(40)]
    ids = sorted([*crowd, *alone, *at_once], reverse=True)
    put_keys(scene.s3, scene.bucket, [f"executions/{one}/metadata.json" for one in ids])
    store = open_store(scene.bucket)
    since = now - timedelta(days=400)
    scene.recorder.clear()
    first = NewestIds(store, since, None, now)
    assert list(islice(first, 10)) == ids[:10]
    assert scene.recorder.count() == first.requests < 8
    assert list(NewestIds(store, since, None, now)) == ids
    assert list(NewestIds(store, since, None, now, ids[150])) == ids[151:]
