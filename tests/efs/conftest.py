"""Fixtures of the sync's tests: a bench's tree, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator_cli.cli.app import App
from tests.support.stored.bench_tree import BenchTree


@pytest.fixture
def tree(tmp_path: Path) -> BenchTree:
    root = tmp_path / "efs"
    root.mkdir()
    return BenchTree(root)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Make it so much later for the commands that run in this process.

    The change time of a file cannot be set, so time passes for the command instead.
    """

    def set_clock(ahead: timedelta) -> None:
        monkeypatch.setattr(App, "now", lambda app: datetime.now(UTC) + ahead)

    return set_clock
