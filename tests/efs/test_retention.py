"""Retention counts from when a file came to lie where it lies, by the file server's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.tree import BenchExecution, list_bench_executions, plan_execution
from orchestrator_cli.core.efs.unchanged_cache import Remaining, UnchangedCache
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from tests.support.scene import Scene
from tests.support.stored.bench_tree import DAY, BenchTree

Later = Callable[[timedelta], None]


# A copy that keeps times, as of rsync or a backup; and a bench whose clock is ahead.
@pytest.mark.parametrize("age_seconds", [1000 * DAY, -1000 * DAY])
def test_a_file_is_kept_for_a_week_from_when_it_appeared(
    scene: Scene, tree: BenchTree, later: Later, age_seconds: float
) -> None:
    tree.write("raw/deep/a.txt", age_seconds=age_seconds)
    tree.age_directories(age_seconds)
    before = tree.names()
    assert "1 created" in scene.cli(*tree.arguments).ok().err
    later(timedelta(days=6))
    scene.cli(*tree.arguments).ok()
    assert tree.names() == before
    later(timedelta(days=8))
    assert "1 deleted" in scene.cli(*tree.arguments).ok().err
    assert tree.names() == {"b1"}


def test_a_file_that_is_moved_into_place_begins_anew(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    aside = tree.write("temp/a.txt", age_seconds=30 * DAY)
    later(timedelta(days=6))
    raw = tree.directory() / "raw"
    raw.mkdir()
    aside.rename(raw / "a.txt")
    scene.cli(*tree.arguments).ok()
    assert (raw / "a.txt").exists()


@pytest.mark.parametrize("moved", ["raw/deep", "raw", "."])
def test_a_file_whose_directory_is_moved_into_place_begins_anew(
    moved: str, tree: BenchTree
) -> None:
    written = tree.write("raw/deep/er/a.txt").stat().st_ctime
    directory = tree.directory() / moved
    while time.time() < written + 0.02:
        pass
    directory.rename(tree.root / "aside")
    (tree.root / "aside").rename(directory)
    (execution,) = list_bench_executions(tree.root)
    assert isinstance(execution, BenchExecution)
    (item,) = plan_execution(execution)
    assert isinstance(item, PlannedFile)
    retain = timedelta(milliseconds=10)
    placed = datetime.fromtimestamp(directory.stat().st_ctime, UTC)
    assert not SyncRules(retain=retain).is_due(item, placed + retain / 2)
    assert SyncRules(retain=retain).is_due(item, placed + retain * 2)


@pytest.mark.parametrize("name", ["temp/copied", "temp/deep/copied"])
def test_what_was_copied_to_temp_is_kept_for_a_week_too(
    scene: Scene, tree: BenchTree, later: Later, name: str
) -> None:
    copied = tree.write(name, age_seconds=30 * DAY)
    tree.age_directories(30 * DAY)
    scene.cli(*tree.arguments).ok()
    assert copied.exists()
    later(timedelta(days=8))
    scene.cli(*tree.arguments).ok()
    assert tree.names() == {"b1"}


def test_a_dry_run_says_what_is_due_by_the_same_clock(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    tree.write("raw/a.txt", age_seconds=30 * DAY)
    assert "then delete it here" not in scene.cli(*tree.arguments, "--dry-run").ok().out
    later(timedelta(days=8))
    assert "then delete it here" in scene.cli(*tree.arguments, "--dry-run").ok().out


@pytest.mark.parametrize(("is_finished", "looked"), [(True, [0, 61]), (False, [0, 6, 59, 66])])
def test_an_old_file_that_was_copied_here_costs_no_look_at_every_pass(
    is_finished: bool, looked: list[int], tree: BenchTree
) -> None:
    """Of a test that is not over, its end is looked for more often."""
    tree.write("raw/a.txt", age_seconds=30 * DAY)
    (execution,) = list_bench_executions(tree.root)
    assert isinstance(execution, BenchExecution)
    unchanged = UnchangedCache(SyncRules())
    now = datetime.now(UTC)
    looks: list[int] = []

    def look_after(minutes: int) -> None:
        def sync() -> Remaining:
            looks.append(minutes)
            return Remaining(0, 0, is_finished)

        unchanged.skip_if_unchanged(execution, now + timedelta(minutes=minutes), sync)

    for minutes in (0, 1, 6, 59, 61, 66):
        look_after(minutes)
    assert looks == looked
