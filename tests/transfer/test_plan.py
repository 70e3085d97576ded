"""What an upload would do: every file once, in its place, and whatever is left out is named."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError, UsageError
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.files.directory import Directory, DirectoryEntry
from orchestrator_cli.core.files.path_filter import PathFilter
from orchestrator_cli.core.transfer.upload.plan import (
    PlanItem,
    PlannedFile,
    SkippedPath,
    plan_upload,
)
from tests.files.flipping import flipping
from tests.support.scene import write_tree

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
ALL = PathFilter()


def plan(*roots: Path, selection: PathFilter = ALL, name: str | None = None) -> list[PlanItem]:
    return list(plan_upload(ID, roots, selection, name))


def planned_paths(items: Iterable[PlanItem]) -> list[str]:
    return [item.path for item in items if isinstance(item, PlannedFile)]


def skipped(items: Iterable[PlanItem]) -> dict[str, str]:
    return {Path(item.source).name: item.reason for item in items if isinstance(item, SkippedPath)}


def only(items: list[PlanItem]) -> SkippedPath:
    (item,) = items
    assert isinstance(item, SkippedPath)
    return item


# --- directories -----------------------------------------------------------------------------


def test_a_directory_is_its_own_root(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree", {"stdout.log": "12345", "deep/a.png": "", "deep/er/results.json": "{}"}
    )
    items = plan(root)
    assert items == [
        PlannedFile(
            str(root / "deep/a.png"),
            "artifacts/screenshots/deep/a.png",
            f"executions/{ID}/artifacts/screenshots/deep/a.png",
            0,
            "image/png",
        ),
        PlannedFile(
            str(root / "deep/er/results.json"),
            "artifacts/custom/deep/er/results.json",
            f"executions/{ID}/artifacts/custom/deep/er/results.json",
            2,
            "application/json",
        ),
        PlannedFile(
            str(root / "stdout.log"),
            "logs/stdout.log",
            f"executions/{ID}/logs/stdout.log",
            5,
            "text/plain; charset=utf-8",
        ),
    ]


def test_the_order_is_by_name_whatever_the_file_system_says(tmp_path: Path) -> None:
    names = ["7/x", "3/x", "zz", "9/x", "0/x", "4", "5/x"]
    root = write_tree(tmp_path / "tree", {f"{name}.bin": b"" for name in names})
    expected = ["0/x", "3/x", "4", "5/x", "7/x", "9/x", "zz"]
    assert planned_paths(plan(root)) == [f"artifacts/custom/{name}.bin" for name in expected]


def test_an_empty_directory_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert plan(tmp_path) == []


@pytest.mark.parametrize("spelling", [".", "./", "../{name}", "{path}/", "{path}/../{name}"])
def test_a_root_may_be_spelled_in_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    root = write_tree(tmp_path / "tree", {"deep/a.txt": "", "stdout.log": ""})
    monkeypatch.chdir(root)
    given_root = Path(spelling.format(name=root.name, path=root))
    assert planned_paths(plan(given_root)) == ["artifacts/custom/deep/a.txt", "logs/stdout.log"]


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.txt": ""})
    (tmp_path / "link").symlink_to(root)
    assert planned_paths(plan(tmp_path / "link")) == ["artifacts/custom/a.txt"]


def test_several_roots_are_planned_in_the_order_given(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"one/a.txt": "", "two/stderr.log": "", "three.png": ""})
    items = plan(root / "two", root / "three.png", root / "one")
    assert planned_paths(items) == [
        "logs/stderr.log",
        "artifacts/screenshots/three.png",
        "artifacts/custom/a.txt",
    ]


def test_a_tree_deeper_than_python_recurses_is_walked(tmp_path: Path) -> None:
    directories = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1051)]
    for directory in directories:
        os.mkdir(directory)
    Path(directories[-1], "file").write_bytes(b"")
    try:
        item = only(plan(tmp_path))
        # No key could be as long as what is below.
        assert "deeper than 512 directories" in item.reason
        assert item.error is not None
    finally:
        # Who cleans up after the tests recurses.
        os.unlink(f"{directories[-1]}/file")
        for directory in reversed(directories):
            os.rmdir(directory)


# --- single files ----------------------------------------------------------------------------


def test_the_root_of_a_file_is_its_parent(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"deep/stdout.log": "", "screenshots/a.txt": ""})
    items = plan(root / "deep/stdout.log", root / "screenshots/a.txt")
    assert planned_paths(items) == ["logs/stdout.log", "artifacts/custom/a.txt"]


def test_a_single_file_can_be_given_a_name(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "tree", {"x.tmp": "123"}) / "x.tmp"
    (item,) = plan(source, name="traces/boot.pcap")
    assert item == PlannedFile(
        str(source),
        "artifacts/traces/boot.pcap",
        f"executions/{ID}/artifacts/traces/boot.pcap",
        3,
        "application/vnd.tcpdump.pcap",
    )


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a\nb", "caf\udce9", "n" * 1100])
def test_a_name_that_cannot_be_stored_is_a_failure(tmp_path: Path, name: str) -> None:
    item = only(plan(write_tree(tmp_path / "tree", {"x": ""}) / "x", name=name))
    assert isinstance(item.error, UsageError)
    assert item.reason == item.error.message
    assert item.reason.isprintable()


@pytest.mark.parametrize("name", ["missing", "file/below", "link"])
def test_a_root_that_is_not_there_is_a_failure(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("nowhere")
    item = only(plan(tmp_path / name))
    assert item.source == str(tmp_path / name)
    assert isinstance(item.error, NotFoundError)


@pytest.mark.parametrize("name", ["n" * 300, "loop"])
def test_a_root_that_cannot_be_looked_at_is_a_failure(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    item = only(plan(tmp_path / name))
    assert item.reason.startswith("cannot read ")
    assert isinstance(item.error, OrchestratorError)


# --- links and special files -----------------------------------------------------------------


def test_links_are_followed_only_to_files_inside_the_root(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"real/a.txt": "12", "sub/b.txt": ""})
    (tmp_path / "outside.txt").write_bytes(b"secret")
    (tmp_path / "tree-2").mkdir()
    (tmp_path / "tree-2" / "neighbour.txt").write_bytes(b"secret")
    links = {
        "inside": "real/a.txt",
        "sub/up": "../real/a.txt",
        "chain": "inside",
        "absolute": str(root / "real/a.txt"),
        "leaves": "../outside.txt",
        "leaves-by-chain": "leaves",
        "leaves-to-neighbour": "../tree-2/neighbour.txt",
        "leaves-by-directory": "..",
        "passwd": "/etc/passwd",
        "directory": "real",
        "parent": ".",
        "dangling": "nowhere",
        "loop": "loop",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    items = plan(root)
    expected = ["absolute", "chain", "inside", "real/a.txt", "sub/b.txt", "sub/up"]
    assert planned_paths(items) == [f"artifacts/custom/{name}" for name in expected]
    assert {item.size_bytes for item in items if isinstance(item, PlannedFile)} == {2, 0}
    leaves = f"the link leaves {root}"
    assert skipped(items) == {
        "leaves": leaves,
        "leaves-by-chain": leaves,
        "leaves-to-neighbour": leaves,
        "leaves-by-directory": leaves,
        "passwd": leaves,
        "directory": "a link to a directory or special file",
        "parent": "a link to a directory or special file",
        "dangling": "the link leads nowhere",
        "loop": "the link leads nowhere",
    }
    # By rule: none of these is a failure.
    assert not any(item.error for item in items if isinstance(item, SkippedPath))


def test_special_files_are_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link-to-fifo").symlink_to("fifo")
    # The address of a socket is short; the test's directory may be long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        items = plan(tmp_path)
    assert skipped(items) == {
        "fifo": "not a regular file",
        "link-to-fifo": "a link to a directory or special file",
        "socket": "not a regular file",
    }
    assert only(plan(tmp_path / "fifo")).error is None


# --- hostile and unlucky ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (b"caf\xe9.log", "not UTF-8"),
        (b"\x1b[31mred", "control characters"),
        (b"a\nb", "control characters"),
        (b"a\xc2\x9bb", "control characters"),
    ],
)
def test_a_name_that_cannot_be_a_key_is_a_failure_and_harms_no_other(
    tmp_path: Path, name: bytes, problem: str
) -> None:
    (tmp_path / "good.txt").write_bytes(b"")
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"")
    items = plan(tmp_path)
    assert planned_paths(items) == ["artifacts/custom/good.txt"]
    (bad,) = [item for item in items if isinstance(item, SkippedPath)]
    assert os.fsencode(Path(bad.source).name) == name
    assert isinstance(bad.error, UsageError)
    assert problem in bad.reason
    assert bad.reason.isprintable()


def test_a_path_whose_key_would_be_too_long_is_a_failure(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["é" * 100] * 5)
    deep.mkdir(parents=True)
    (deep / "a.txt").write_bytes(b"")
    assert "longer than 1,024 bytes" in str(only(plan(tmp_path)).error)


def test_what_vanishes_during_the_walk_is_a_failure(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.txt": "", "b.txt": "", "c/d.txt": "", "e.txt": ""})
    items = plan_upload(ID, [root], ALL)
    found = [next(items)]
    (root / "b.txt").unlink()
    (root / "c/d.txt").unlink()
    (root / "c").rmdir()
    found += items
    assert planned_paths(found) == ["artifacts/custom/a.txt", "artifacts/custom/e.txt"]
    reason = "cannot read {}: No such file or directory"
    assert skipped(found) == {
        "b.txt": reason.format(root / "b.txt"),
        "c": reason.format(root / "c"),
    }
    assert all(item.error for item in found if isinstance(item, SkippedPath))


def test_a_directory_that_cannot_be_read_is_a_failure_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "tree", {"closed/x.txt": "", "open/y.txt": ""})
    scan = Directory.scan

    def refuse(self: Directory) -> list[DirectoryEntry]:
        found = scan(self)
        if [one.name for one in found] == ["x.txt"]:
            raise PermissionError(13, "Permission denied")
        return found

    monkeypatch.setattr(Directory, "scan", refuse)
    # Whoever may read it could hold what was selected, so the selection does not silence it.
    for selection in (ALL, PathFilter(include=("*.txt",))):
        items = plan(root, selection=selection)
        assert planned_paths(items) == ["artifacts/custom/open/y.txt"]
        assert skipped(items) == {"closed": f"cannot read {root / 'closed'}: Permission denied"}


names = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
trees = st.sets(st.lists(names, min_size=1, max_size=4).map(tuple), max_size=8)


@settings(max_examples=50)
@given(trees)
def test_every_file_of_any_tree_is_planned_once(tree: set[tuple[str, ...]]) -> None:
    # What is a directory of another file is no file.
    files = tree - {path[:end] for path in tree for end in range(1, len(path))}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for path in files:
            root.joinpath(*path).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(*path).write_bytes(b"x" * len(path))
        items = plan(root)
    expected = {
        (str(root.joinpath(*path)), storage_path_for("/".join(path)), len(path))
        for path in files
        if storage_path_for("/".join(path))
    }
    planned = [item for item in items if isinstance(item, PlannedFile)]
    assert len(planned) == len(items) == len(files)
    assert {(str(item.source), item.path, item.size_bytes) for item in planned} == expected
    assert all(item.key == artifact_key(ID, item.path) for item in planned)


# --- selection -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), ["a.log", "b.tmp", "deep/c.log", "deep/d.tmp"]),
        (("*.log",), (), ["a.log", "deep/c.log"]),
        (("deep/*",), (), ["deep/c.log", "deep/d.tmp"]),
        (("a.log", "b.tmp"), (), ["a.log", "b.tmp"]),
        ((), ("*.tmp",), ["a.log", "deep/c.log"]),
        ((), ("deep/*",), ["a.log", "b.tmp"]),
        (("*.log",), ("deep/*",), ["a.log"]),
        (("[ab]*",), (), ["a.log", "b.tmp"]),
        (("*.LOG",), (), []),
        (("log",), (), []),
        (("[",), (), []),
        (("deep",), ("c.log",), ["deep/d.tmp"]),
        (("./deep/**",), ("**/d.*",), ["deep/c.log"]),
        ((), ("/c.log", "a.log/", "**/b.tmp"), ["a.log", "deep/c.log", "deep/d.tmp"]),
    ],
)
def test_a_selection_takes_what_its_globs_say(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], taken: list[str]
) -> None:
    root = write_tree(
        tmp_path / "tree", {"a.log": "", "b.tmp": "", "deep/c.log": "", "deep/d.tmp": ""}
    )
    items = plan(root, selection=PathFilter(include, exclude))
    assert planned_paths(items) == [f"artifacts/custom/{name}" for name in taken]
    assert skipped(items) == {}


@pytest.mark.parametrize(
    "glob",
    "node_modules node_modules/ ./node_modules/* **/node_modules/** node_modules/** /node_modules "
    "node_mod* **/node_modules node_modules/**/*".split(),
)
def test_every_form_of_a_directory_leaves_it_out_unread(
    tmp_path: Path, glob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(
        tmp_path / "tree", dict.fromkeys(("node_modules/a.js", "node_modules/b/c.js", "a.js"), "")
    )
    scanned: list[list[str]] = []
    scan = Directory.scan

    def note(self: Directory) -> list[DirectoryEntry]:
        found = scan(self)
        scanned.append([one.name for one in found])
        return found

    monkeypatch.setattr(Directory, "scan", note)
    selection = PathFilter(exclude=(glob, "*.jsx", "x/"))
    assert planned_paths(plan(root, selection=selection)) == ["artifacts/custom/a.js"]
    assert scanned == [["a.js", "node_modules"]]
    assert list(selection.unmatched()) == ["*.jsx", "x/"]


def test_selection_is_by_the_path_as_given_not_by_where_it_goes(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.png": "", "screenshots/b.png": ""})
    items = plan(root, selection=PathFilter(include=("screenshots/*",)))
    assert planned_paths(items) == ["artifacts/screenshots/b.png"]


def test_a_link_that_is_not_selected_is_not_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.txt": ""})
    (root / "node_modules").mkdir()
    (root / "node_modules" / "tool").symlink_to("/bin/sh")
    (root / "wanted").symlink_to("/bin/sh")
    items = plan(root, selection=PathFilter(exclude=("node_modules/*",)))
    assert skipped(items) == {"wanted": f"the link leaves {root}"}


# --- hidden files ----------------------------------------------------------------------------


@pytest.fixture
def with_hidden(tmp_path: Path) -> Path:
    """A tree with what nobody means to store, and links that lead to it by other names."""
    hidden = [".env", ".git/config", ".git/objects/ab/cd", "deep/.ssh/id_rsa", "deep/.netrc"]
    root = write_tree(tmp_path / "tree", dict.fromkeys([*hidden, "a.txt", "deep/b..txt"], ""))
    (root / "environment").symlink_to(".env")
    (root / "deep" / "key").symlink_to("key-2")
    (root / "deep" / "key-2").symlink_to("../deep/.ssh/id_rsa")
    (root / ".visible").symlink_to("a.txt")
    (root / "also-a").symlink_to("a.txt")
    return root


def test_what_is_hidden_is_left_out_with_links_to_it_and_said_once(with_hidden: Path) -> None:
    items = plan(with_hidden, selection=PathFilter(hidden=False))
    assert planned_paths(items) == [
        "artifacts/custom/a.txt",
        "artifacts/custom/also-a",
        "artifacts/custom/deep/b..txt",
    ]
    also = ".git, .visible, 5 more"
    reason = f"hidden, and so are {also}; --include-hidden stores what is"
    assert skipped(items) == {".env": reason}


def test_what_is_hidden_is_stored_if_asked_for(with_hidden: Path) -> None:
    items = plan(with_hidden, selection=PathFilter(hidden=True))
    assert skipped(items) == {}
    assert len(items) == 12


def test_what_is_hidden_and_not_selected_is_not_told_of(with_hidden: Path) -> None:
    selection = PathFilter(include=("*.txt", "*.ssh"), hidden=False)
    items = plan(with_hidden, selection=selection)
    assert planned_paths(items) == ["artifacts/custom/a.txt", "artifacts/custom/deep/b..txt"]
    assert skipped(items) == {".ssh": "hidden; --include-hidden stores what is"}


def test_what_is_named_is_not_hidden(with_hidden: Path) -> None:
    selection = PathFilter(hidden=False)
    items = plan(with_hidden / ".env", with_hidden / ".git", selection=selection)
    assert planned_paths(items) == [
        "artifacts/custom/.env",
        "artifacts/custom/config",
        "artifacts/custom/objects/ab/cd",
    ]


def test_several_roots_are_told_of_together(with_hidden: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".hidden").touch()
    items = plan(tmp_path / "other", with_hidden, selection=PathFilter(hidden=False))
    reason = "hidden, and so are .env, .git, 6 more; --include-hidden stores what is"
    assert skipped(items) == {".hidden": reason}


# --- swaps between the plan and the upload ---------------------------------------------------


def test_a_link_is_stored_as_what_it_led_to_when_it_was_planned(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"real/a.txt": "honest", ".env": "hidden"})
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "link").symlink_to("real/a.txt")
    for target in ("../outside", ".env"):
        (item, *_) = plan(root, selection=PathFilter(hidden=False, include=("link",)))
        assert isinstance(item, PlannedFile)
        (root / "link").unlink()
        (root / "link").symlink_to(target)
        with item.open() as source:
            assert source.read_at(0, 100) == b"honest"
        (root / "link").unlink()
        (root / "link").symlink_to("real/a.txt")


def test_a_planned_file_that_became_a_link_is_not_opened(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.txt": "honest"})
    (tmp_path / "outside").write_bytes(b"secret")
    (item,) = plan(root)
    assert isinstance(item, PlannedFile)
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("../outside")
    with pytest.raises(OSError, match="not a regular file, or a link"):
        item.open()


def test_what_is_swapped_again_and_again_opens_nothing_outside(tmp_path: Path) -> None:
    names = [*map(str, range(20)), "only-here"]
    secret, root = tmp_path / "secret", tmp_path / "root"
    secret.mkdir(mode=0o700)
    (root / "z").mkdir(parents=True)
    for name in names:
        (secret / name).write_bytes(b"secret")
        if name != "only-here":
            (root / "z" / name).write_bytes(b"honest")
    (root / "link").symlink_to(secret)
    (root / "by-link").symlink_to("z/only-here")
    (root / "honest").write_bytes(b"honest")
    tries, opened = 0, 0
    with flipping(root, "z", "link"):
        while tries < 300 or not opened:
            tries += 1
            read = set()
            for item in plan_upload(ID, [root], ALL):
                with contextlib.suppress(OSError):
                    if isinstance(item, PlannedFile):
                        assert Path(item.source).name != "only-here"
                        with item.open() as source:
                            read.add(source.read_at(0, 100))
                            opened += Path(item.source).parent.name == "z"
            assert read == {b"honest"}
    assert opened


# --- single files and their selection --------------------------------------------------------


def test_a_single_file_can_be_excluded(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.tmp": ""})
    assert plan(root / "a.tmp", selection=PathFilter(exclude=("*.tmp",))) == []


# --- content types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("logs/stdout.log", "text/plain; charset=utf-8"),
        ("NOTES.TXT", "text/plain; charset=utf-8"),
        ("a.md", "text/plain; charset=utf-8"),
        ("a.csv", "text/plain; charset=utf-8"),
        ("results.json", "application/json"),
        ("events.jsonl", "application/x-ndjson"),
        ("coverage.xml", "application/xml"),
        ("report.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.svg", "image/svg+xml"),
        ("a.webp", "image/webp"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.pdf", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.log.gz", "application/gzip"),
        # Not "image/svg+xml, gzipped": the bytes are no image to who reads only the type.
        ("a.svgz", "application/octet-stream"),
        ("core", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        (".log", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_a_content_type_follows_from_the_name(path: str, content_type: str) -> None:
    assert content_type_of(path) == content_type


@given(st.lists(names, min_size=1, max_size=3).map("/".join))
def test_every_name_has_a_content_type_that_is_a_header(path: str) -> None:
    for name in (path, f"{path}.log:x", f"a.{path}", f"{path}.data:,"):
        assert content_type_of(name).isascii()
        assert "/" in content_type_of(name)
