"""Fixtures of the scenarios: small parts and quick retries."""

from __future__ import annotations

import pytest

from tests.support.small_scale import hurry


@pytest.fixture(autouse=True)
def _small_scale(small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts and quick retries for commands that run in this process."""
    hurry(monkeypatch.setattr)


@pytest.fixture
def no_patience(_small_scale: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once, in this process, where the fault is one that stays."""
    hurry(monkeypatch.setattr, patience_seconds=0.05)
