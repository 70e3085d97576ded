"""Fixtures of the scenarios: small parts and quick retries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.commands import CommandScene
from tests.support.commands.running import RunCommand
from tests.support.commands.small_scale import hurry
from tests.support.proxy.proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(autouse=True)
def _small_scale(small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts and quick retries for commands that run in this process."""
    hurry(monkeypatch.setattr)


@pytest.fixture
def no_patience(_small_scale: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once, in this process, where the fault is one that stays."""
    hurry(monkeypatch.setattr, patience_seconds=0.05)


@pytest.fixture
def scene(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> CommandScene:
    """The scene of all tests, with executions for the commands under fire."""
    return CommandScene(cli, recorder, s3, bucket, tmp_path)
