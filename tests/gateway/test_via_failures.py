"""One key of many is refused for good, where it is stored through a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engine import PART, impatient
from tests.support.lasting_failures import SMALL, Place, Stores, check_all, check_truth, upload
from tests.support.proxy import Proxy
from tests.support.running import RunCommand
from tests.support.via import Via

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_all_that_is_said_of_a_refused_file_is_true_through_a_server(
    cli: RunCommand,
    recorder: Proxy,
    via: Via,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    place = Place(cli, recorder, s3, bucket, tmp_path)

    def through(execution: str, root: Path) -> tuple[Any, ...]:
        return *upload(execution, root), *via.options

    check_all(place, Stores(*SMALL, through, env=via.env))
    large = Stores("artifacts/custom/m.bin", b"x" * (PART + 1), through, env=via.env)
    check_truth(place, large, "UploadPart", "403")
    check_truth(place, large, "CompleteMultipartUpload", "403")
