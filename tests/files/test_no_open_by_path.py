"""Nothing that reads, writes or removes in a shared tree does so by path."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestrator_cli
from tests.support.scene import Scene
from tests.support.stored.bench_tree import BenchTree
from tests.support.stored.engine import PART, content

PACKAGE = Path(orchestrator_cli.__file__).parent
ROOMS = ("core/efs", "core/live", "core/metrics", "core/transfer", "runner")

_OF_OS = frozenset(
    "access chmod chown link listdir lstat makedirs mkdir mkfifo open readlink remove removedirs "
    "rename renames replace rmdir scandir stat symlink truncate unlink utime walk".split()
)
_OF_OS_PATH = frozenset(
    "exists getmtime getsize isdir isfile islink lexists realpath samefile".split()
)
# Of pathlib; its `open`, `rename` and `stat` have names that the safe ones have, too.
_OF_PATHS = frozenset(
    "exists glob hardlink_to is_dir is_file is_symlink iterdir lstat mkdir read_bytes read_text "
    "readlink resolve rglob rmdir samefile symlink_to touch unlink write_bytes write_text".split()
)
# Where the first directory of a tree, which a user has named, is made; a file without a name;
# devices; and a command's way, found as a shell would.
_ALLOWED = frozenset(
    {
        ("core/transfer/download/destination.py", "os.makedirs"),
        ("core/transfer/upload/parts/stream_parts.py", "tempfile.TemporaryFile"),
        ("runner/output_copier.py", "os.open"),
        ("runner/process.py", "shutil.which"),
        ("runner/signals.py", "open"),
        ("runner/spool.py", "root.mkdir"),
        ("runner/upload/final_upload.py", "open"),
        ("runner/uploader_process.py", "os.open"),
    }
)


def by_path(source: str) -> Iterator[str]:
    """Yield the calls in a text of Python that open or change what a path leads to."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            module, _, name = called.rpartition(".")
            if (
                called == "open"
                or module in ("shutil", "tempfile")
                or (module == "os" and name in _OF_OS)
                or (module == "os.path" and name in _OF_OS_PATH)
                or (module and name in _OF_PATHS)
            ):
                yield called


def test_no_call_of_these_rooms_goes_by_path() -> None:
    found = {
        (str(file.relative_to(PACKAGE)), called)
        for room in ROOMS
        for file in (PACKAGE / room).rglob("*.py")
        for called in by_path(file.read_text(encoding="utf-8"))
    }
    assert found == _ALLOWED


def test_such_calls_would_be_found() -> None:
    text = "open(x); os.walk(x); os.path.exists(x); shutil.rmtree(x); Path(x).unlink(); a.b.mkdir()"
    assert len(list(by_path(text))) == 6
    assert not list(by_path("directory.open_file(x); tree.stat(x); os.fstat(x); os.path.join(x)"))


# --- what the interpreter sees ---------------------------------------------------------------


class Watch:
    """The paths that are opened or changed, as Python's audit events tell them."""

    _EVENTS = frozenset(
        "open os.chmod os.link os.listdir os.mkdir os.remove os.rename os.rmdir os.scandir "
        "os.symlink os.truncate os.utime shutil.rmtree".split()
    )

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] | None = None
        sys.addaudithook(self._hook)  # which nobody can take away again

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is not None and event in self._EVENTS:
            for argument in arguments[:2]:
                if isinstance(argument, str | bytes | os.PathLike):
                    self.seen.append((event, os.fsdecode(argument)))

    @contextlib.contextmanager
    def below(self, root: Path) -> Iterator[list[tuple[str, str]]]:
        """Yield a list that holds, once done, what was reached by a path that leads below it."""
        found: list[tuple[str, str]] = []
        self.seen = []
        try:
            yield found
        finally:
            found += [one for one in self.seen if one[1].startswith(f"{root}/")]
            self.seen = None


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def test_such_paths_would_be_seen(watch: Watch, tmp_path: Path) -> None:
    with watch.below(tmp_path) as found:
        (tmp_path / "a").write_bytes(b"")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()
    assert [event for event, _ in found] == ["open", "os.rename", "os.rename", "os.remove"]


def test_upload_and_download_and_verify_reach_no_file_by_path(scene: Scene, watch: Watch) -> None:
    tree = scene.write_tree({"deep/er/a.txt": "a", "large": content(PART + 5), "b/c": "c"})
    (tree / "link").symlink_to("deep/er/a.txt")
    execution = scene.cli("new").ok().out.strip()
    out = scene.directory / "out"
    with watch.below(tree) as found:
        scene.cli("upload", execution, tree).ok()
        scene.cli("verify", execution, tree).ok()
    assert found == []
    with watch.below(out) as found:
        scene.cli("download", execution, "-o", out).ok()
        scene.cli("download", execution, "-o", out, "--overwrite").ok()
    assert found == []


def test_a_sync_reaches_no_file_by_path(scene: Scene, watch: Watch) -> None:
    tree = BenchTree(scene.directory / "efs")
    tree.write("raw/deep/a.txt", b"a")
    tree.write("temp/deep/c")
    with watch.below(tree.root) as found:
        scene.cli(*tree.arguments, "--retain", "0s").ok()
    assert found == []
    assert tree.names() == {"b1"}


def test_metrics_reach_no_file_by_path(scene: Scene, watch: Watch) -> None:
    execution = scene.cli("new").ok().out.strip()
    (scene.directory / "shared").mkdir()
    file = scene.directory / "shared" / "orchestrator.prom"
    tree = scene.write_tree({"a": "a"})
    with watch.below(scene.directory / "shared") as found:
        for _ in range(2):
            scene.cli("upload", execution, tree, "--metrics-file", file).ok()
    assert found == []
    assert file.exists()
