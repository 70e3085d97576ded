"""In GitHub Actions, failures are annotations, details fold, and the step has a summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scene import Scene
from tests.support.stored.executions import make_id


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The step's summary; commands see themselves in GitHub Actions."""
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_an_upload_folds_its_files_and_annotates_its_failures(scene: Scene, summary: Path) -> None:
    stored = {"artifacts/custom/100%.txt": b"other"}
    execution_id = scene.put_execution(files=stored)
    tree = scene.write_tree({"100%.txt": "x", "b.txt": "b"})
    result = scene.cli("-v", "upload", execution_id, tree).expect(6)
    lines = result.err.splitlines()
    assert lines[:3] == ["::group::uploading", "created: artifacts/custom/b.txt", "::endgroup::"]
    assert lines[3].startswith(f"::error title=orchestrator::failed: {tree}/100%25.txt: ")
    assert lines[4].startswith("::error title=orchestrator::1 of 2 files could not be stored")
    assert summary.read_text().startswith("| not stored | why |\n| --- | --- |\n| ")
    assert "100%.txt" in summary.read_text()
    # Where nothing is said of the files, there is nothing to fold.
    assert "::group::" not in scene.cli("upload", execution_id, tree / "b.txt").ok().err


def test_finish_and_run_tell_the_summary_how_it_ended(scene: Scene, summary: Path) -> None:
    execution_id = scene.put_execution(
        make_id(), {"logs/stdout.log": b"x" * 2048}, test_suite="a|b<c>"
    )
    scene.cli("finish", execution_id, "--result", "fail").ok()
    title, _, row = summary.read_text().splitlines()[:3]
    assert title == "| execution | suite | result | duration | files | size |"
    cells = row.split(" | ")
    assert cells[0] == f"| {execution_id}"
    assert cells[1:3] == [r"a\|b\<c\>", "fail"]
    assert cells[4:] == ["1", "2.0 KiB |"]


def test_a_usage_error_is_an_annotation_only_in_github(scene: Scene, summary: Path) -> None:
    missing = ("show", make_id())
    assert (
        scene.cli(*missing)
        .expect(4)
        .err.startswith("::error title=orchestrator::no such execution")
    )
    outside = {"GITHUB_ACTIONS": None}
    assert scene.cli(*missing, env=outside).expect(4).err.startswith("error: no such execution")
    assert not summary.exists()


def test_a_summary_that_cannot_be_written_is_a_warning(scene: Scene, summary: Path) -> None:
    execution_id = scene.put_execution()
    summary.mkdir()
    result = scene.cli("finish", execution_id, "--result", "pass").ok()
    assert "::warning title=orchestrator::cannot write the step's summary" in result.err
