"""`orchestrator doctor` on a server that keeps every promise."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

pytestmark = pytest.mark.localstack


def test_it_finds_every_promise_kept_and_leaves_nothing(scene: Scene) -> None:
    said = scene.cli("doctor", "--json").ok().json()
    assert said["guaranteed"] is True
    assert scene.list_keys() == []
    assert scene.unfinished_uploads() == {}
