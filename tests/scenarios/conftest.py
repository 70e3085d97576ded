"""Fixtures of the scenarios: a server that takes small parts, small parts, quick retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.sandbox.sandbox import Sandbox, start_sandbox
from tests.support.forkserver import ForkServer, run_fork_server
from tests.support.objects import make_client
from tests.support.small_scale import MIN_PART_BYTES, hurry, shrink

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """An S3 server of this worker's own that takes small parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", str(MIN_PART_BYTES))
        context = start_sandbox()
        running = context.__enter__()
    try:
        yield running
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def s3(sandbox: Sandbox) -> S3Client:
    """A client of that server; the fixture of the same name may be one of another server."""
    return make_client(sandbox.environment())


@pytest.fixture(autouse=True)
def _small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts and quick retries for commands that run in this process."""
    shrink(monkeypatch.setattr)


@pytest.fixture
def no_patience(_small_scale: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once, in this process, where the fault is one that stays."""
    hurry(monkeypatch.setattr, patience_seconds=0.05)


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Real processes of the command, at the price of a fork; small parts and quick retries too."""
    with run_fork_server() as server:
        yield server
