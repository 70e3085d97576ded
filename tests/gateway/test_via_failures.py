"""One key of many is refused for good, where it is stored through a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.via import Via
from tests.support.lasting_failures import SMALL, Place, Stores, check_all, check_truth, upload
from tests.support.scene import Scene
from tests.support.stored.engine import PART, impatient


def test_all_that_is_said_of_a_refused_file_is_true_through_a_server(
    scene: Scene, via: Via, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    place = Place(scene.cli, scene.recorder, scene.s3, scene.bucket, scene.directory)

    def through(execution: str, root: Path) -> tuple[Any, ...]:
        return *upload(execution, root), *via.options

    check_all(place, Stores(*SMALL, through, env=via.env))
    large = Stores("artifacts/custom/m.bin", b"x" * (PART + 1), through, env=via.env)
    check_truth(place, large, "UploadPart", "403")
    check_truth(place, large, "CompleteMultipartUpload", "403")
