"""Fixtures of the metrics: what `sync-efs` finds, whose passes are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scene import Scene


@pytest.fixture
def raw(scene: Scene) -> Path:
    """The `raw/` of an execution of a bench, below `efs/` of the scene's directory."""
    execution_id = scene.new_execution("--bench-id", "bench-01")
    directory = scene.directory / "efs" / "bench-01" / execution_id / "raw"
    directory.mkdir(parents=True)
    return directory
