"""The fixtures of all tests, on LocalStack's S3 in the sandbox's place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.running import RunCommand
from tests.support.servers.localstack import CannotStartError, LocalStack, start_localstack
from tests.support.stored.objects import make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """LocalStack's S3, one for the session; where it cannot start, its tests are skipped."""
    with contextlib.ExitStack() as running:
        try:
            directory = tmp_path_factory.mktemp("localstack")
            server = running.enter_context(start_localstack(directory))
        except CannotStartError as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture(scope="session")
def s3(sandbox: LocalStack) -> S3Client:
    """A boto3 client that goes straight to the server, for looking at what it holds."""
    return make_client(sandbox.environment())


@pytest.fixture
def execution_id(bucket: str, cli: RunCommand) -> str:
    """A new execution in the test's bucket."""
    return cli("new").ok().out.strip()
