"""`orchestrator doctor` on a server that keeps every promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.objects import list_keys, unfinished_uploads
from tests.support.running import RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack


def test_it_finds_every_promise_kept_and_leaves_nothing(
    s3: S3Client, bucket: str, cli: RunCommand
) -> None:
    said = cli("doctor", "--json").ok().json()
    assert said["guaranteed"] is True
    assert list_keys(s3, bucket) == []
    assert unfinished_uploads(s3, bucket) == {}
