"""An index that is not stored is done without; a storage that is not there is an error."""

from __future__ import annotations

import pytest

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.transfer.download.log_index import read_index, read_tail
from tests.support.scene import Scene
from tests.support.stored.engine import open_store
from tests.support.stored.executions import make_id


def test_a_missing_index_is_done_without_and_a_missing_bucket_is_not(scene: Scene) -> None:
    store = open_store(scene.bucket)
    assert read_index(store, make_id(), "stdout.log", 1, "etag") is None
    assert read_tail(store, make_id(), "stdout.log") == b""
    with pytest.raises(NotFoundError, match="no such bucket"):
        read_index(open_store("gone"), make_id(), "stdout.log", 1, "etag")
    with pytest.raises(NotFoundError, match="no such bucket"):
        read_tail(open_store("gone"), make_id(), "stdout.log")
