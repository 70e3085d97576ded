"""All that is below a root and nothing else, in key order, whoever swaps what meanwhile."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_cli.core.files.checks import UnsafeFileError
from orchestrator_cli.core.files.directory import Directory, FileKind
from orchestrator_cli.core.files.removal import remove_tree
from orchestrator_cli.core.files.symlinks import Leads, LinkTarget, follow_link, open_through_links
from orchestrator_cli.core.files.tree import MOST_DEEP, NamedFile, Tree
from orchestrator_cli.core.files.walk import Entry, walk
from tests.files.flipping import flipping
from tests.support.commands.limits import needs_another_user
from tests.support.scene import write_tree

SECRET = b"the secret"
_TRIES = 1500
_MOST_TRIES = 100_000


def relative(entry: Entry) -> str:
    return "/".join(entry.parts)


def files(tree: Tree) -> list[str]:
    return [relative(entry) for entry in walk(tree) if entry.kind is FileKind.FILE]


def open_below(root: Path) -> int:
    """Count the descriptors below `root`: others of this process come and go meanwhile."""
    gc.collect()
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            count += Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(root)
    return count


# --- honest trees ----------------------------------------------------------------------------


def test_entries_come_in_the_order_of_keys(tmp_path: Path) -> None:
    names = ["a/b", "a-b", "a.b", "a/c/d", "ab", "b", "é/x", "z/\U0001f600", "z/\uffee"]
    tree = Tree.named(write_tree(tmp_path / "tree", dict.fromkeys(names, "")))
    assert files(tree) == sorted(names, key=str.encode)


path_names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=3
).filter(lambda name: name not in (".", ".."))


@settings(max_examples=50)
@given(st.sets(st.lists(path_names, min_size=1, max_size=4).map(tuple), max_size=12))
def test_every_file_comes_once_and_in_order(paths: set[tuple[str, ...]]) -> None:
    wanted = paths - {path[:end] for path in paths for end in range(1, len(path))}
    with tempfile.TemporaryDirectory() as directory:
        for path in wanted:
            file = Path(directory).joinpath(*path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
        # With two directories open, nearly each is opened again and again.
        tree = Tree(Directory.open_root(directory), most_open=2)
        found = files(tree)
    assert found == sorted(("/".join(path) for path in wanted), key=os.fsencode)


def test_a_directory_comes_before_what_is_in_it(tmp_path: Path) -> None:
    tree = Tree.named(write_tree(tmp_path / "tree", {"a/b/c": "1"}))
    entries = list(walk(tree))
    assert [(relative(entry), entry.kind) for entry in entries] == [
        ("a", FileKind.DIRECTORY),
        ("a/b", FileKind.DIRECTORY),
        ("a/b/c", FileKind.FILE),
    ]
    assert entries[-1].status is not None
    assert entries[-1].status.st_size == 1
    assert [relative(entry) for entry in walk(tree, ("a", "b"))] == ["a/b/c"]


def test_what_is_not_entered_is_not_looked_into(tmp_path: Path) -> None:
    tree = Tree.named(write_tree(tmp_path / "tree", {"in/x": "", ".git/y": ""}))
    found = [relative(entry) for entry in walk(tree, enters=lambda entry: entry.name != ".git")]
    assert found == [".git", "in", "in/x"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="cannot see what is open")
def test_a_file_can_be_opened_long_after_with_few_directories_open(tmp_path: Path) -> None:
    wide: dict[str, bytes | str] = {
        f"{number:03}/{number:03}/file": str(number) for number in range(200)
    }
    root = write_tree(tmp_path / "tree", wide)
    tree = Tree(Directory.open_root(root), most_open=8)
    entries = [entry for entry in walk(tree) if entry.kind is FileKind.FILE]
    assert 0 < open_below(root) <= 9
    for entry in reversed(entries):
        with entry.file.open() as file:
            assert file.read().decode() == str(int(entry.parts[0]))
    assert 0 < open_below(root) <= 9
    del tree, entries, entry
    assert open_below(root) == 0


def test_many_threads_share_few_open_directories(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree", {f"{number:02}/in/file": str(number) for number in range(40)}
    )
    for number in range(40):
        (root / f"{number:02}/link").symlink_to("in/../in/file")
    tree = Tree(Directory.open_root(root), most_open=2)

    def read(number: int) -> bool:
        for step in range(40):
            chosen = (number * 7 + step) % 40
            target = follow_link(tree, (f"{chosen:02}", "link"))
            assert target == LinkTarget(Leads.FILE, (f"{chosen:02}", "in", "file"))
            with tree.open_file(target.parts) as file:
                assert file.read() == str(chosen).encode()
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(40)))


def test_memory_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    with Directory.open_root(tmp_path) as root:
        for number in range(150):
            with root.make_directory(str(number)) as directory:
                for name in range(40):
                    directory.create_file(str(name)).close()
    tracemalloc.start()
    try:
        count = sum(1 for _ in walk(Tree.named(tmp_path)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 150 + 150 * 40
    # The names of two directories, and no more than the 64 directories that are held open.
    assert peak < 200_000


def test_the_name_is_not_always_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9"))).write_bytes(b"x")
    (entry,) = walk(Tree.named(tmp_path))
    assert os.fsencode(relative(entry)) == b"caf\xe9"
    with entry.file.open() as file:
        assert file.read() == b"x"


def test_a_tree_without_bottom_is_told_of_and_left(tmp_path: Path) -> None:
    depth = MOST_DEEP + 3
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    (tmp_path / "e").write_bytes(b"")
    entries = list(walk(Tree.named(tmp_path)))
    assert relative(entries[-1]) == "e"
    (error,) = [entry.error for entry in entries if entry.error is not None]
    assert "deeper than" in str(error)
    # Who cleans up after the tests recurses.
    with Directory.open_root(tmp_path) as root:
        remove_tree(root, "d")
    assert os.listdir(tmp_path) == ["e"]


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tree.named(tmp_path / "missing")


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Be a user to whom something is closed, where root runs the tests."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_may_not_be_read_is_told_of_and_stops_nothing(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"closed/x": "", "open/y": ""})
    root.chmod(0o755)
    (root / "open").chmod(0o755)
    (root / "closed").chmod(0)
    tree = Tree.named(root)
    try:
        with nobody():
            entries = list(walk(tree))
    finally:
        (root / "closed").chmod(0o700)
    assert [relative(entry) for entry in entries] == ["closed", "closed", "open", "open/y"]
    assert isinstance(entries[1].error, PermissionError)


def test_what_vanishes_is_told_of(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a": "", "b": "", "c/d": "", "e": ""})
    entries = walk(Tree.named(root))
    next(entries)
    (root / "b").unlink()
    (root / "c/d").unlink()
    (root / "c").rmdir()
    left = {relative(entry): entry.error is None for entry in entries}
    assert left == {"b": False, "c": False, "e": True}


# --- links -----------------------------------------------------------------------------------


def test_each_link_is_told_by_where_it_leads(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"real/a.txt": "12", "sub/b.txt": "", "file": ""})
    (tmp_path / "outside.txt").write_bytes(SECRET)
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "back").symlink_to(root / "file")
    os.mkfifo(root / "fifo")
    inside = LinkTarget(Leads.FILE, ("real", "a.txt"))
    outside, nowhere = LinkTarget(Leads.OUTSIDE), LinkTarget(Leads.NOWHERE)
    links = {
        "inside": ("real/a.txt", inside),
        "sub/up": ("../real/./a.txt", inside),
        "chain": ("inside", inside),
        "by-directory": ("directory/a.txt", inside),
        "absolute": (str(root / "real/a.txt"), inside),
        "out-and-in": (f"../{root.name}/real/a.txt", inside),
        "by-a-link-outside": ("../neighbour/back", LinkTarget(Leads.FILE, ("file",))),
        "up-from-a-link": ("directory/../real/a.txt", inside),
        "directory": ("real", LinkTarget(Leads.OTHER, ("real",))),
        "parent": (".", LinkTarget(Leads.OTHER, ())),
        "to-fifo": ("fifo", LinkTarget(Leads.OTHER, ("fifo",))),
        "leaves": ("../outside.txt", outside),
        "leaves-by-chain": ("leaves", outside),
        "leaves-by-directory": ("..", outside),
        "leaves-to-the-top": ("/", outside),
        "passwd": ("/etc/passwd", outside),
        "magic": ("/proc/self/root/etc/passwd", outside),
        "dangling": ("real/nothing", nowhere),
        "below-a-file": ("file/x", nowhere),
        "loop": ("loop", nowhere),
        "long": ("x" * 300, nowhere),
    }
    for name, (target, _) in links.items():
        (root / name).symlink_to(target)
    tree = Tree.named(root)
    found = {
        relative(entry): follow_link(tree, entry.parts)
        for entry in walk(tree)
        if entry.kind is FileKind.LINK
    }
    assert found == {name: leads for name, (_, leads) in links.items()}
    with tree.open_file(found["by-directory"].parts) as file:
        assert file.read() == b"12"


def test_a_link_that_changes_is_opened_as_what_it_was(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"real/a.txt": "12"})
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_bytes(SECRET)
    (root / "link").symlink_to("real/a.txt")
    tree = Tree.named(root)
    parts = follow_link(tree, ("link",)).parts
    (root / "real").rename(root / "other")
    (root / "real").symlink_to("../real")
    fresh = Tree.named(root)
    with pytest.raises(UnsafeFileError, match="or a link"):
        fresh.open_file(parts)
    # What was open stays what it was.
    with tree.open_file(parts) as file:
        assert file.read() == b"12"


# --- attacks ---------------------------------------------------------------------------------


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A root with `z/`, and a link to a place with a secret of the same name."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    root = tmp_path / "root"
    (root / "a" / "z").mkdir(parents=True)
    for name in ("file", *map(str, range(30))):
        (secret / name).write_bytes(SECRET)
        (root / "a" / "z" / name).write_bytes(b"honest")
    (secret / "only-there").write_bytes(SECRET)
    (root / "a" / "link").symlink_to(secret)
    (root / "honest").write_bytes(b"honest")
    return root


def read_all(root: Path) -> tuple[dict[str, bytes], list[Entry]]:
    """Return what a walk can read, and all that it met."""
    tree = Tree(Directory.open_root(root), most_open=1)
    met = list(walk(tree))
    content: dict[str, bytes] = {}
    for entry in met:
        if entry.kind is FileKind.FILE and entry.error is None:
            try:
                with entry.file.open() as file:
                    content[relative(entry)] = file.read()
            except OSError:
                continue
    return content, met


def test_a_directory_that_is_now_and_then_a_link_lets_nobody_out(trapped: Path) -> None:
    kinds: set[FileKind] = set()
    found: set[str] = set()
    with flipping(trapped / "a", "z", "link"):
        for number in range(_MOST_TRIES):
            content, met = read_all(trapped)
            assert SECRET not in content.values()
            assert "only-there" not in {entry.name for entry in met}
            assert content["honest"] == b"honest"
            kinds |= {entry.kind for entry in met if entry.parts == ("a", "z")}
            found |= content.keys()
            if number >= _TRIES and len(kinds) > 1 and "a/z/file" in found:
                break
    assert {FileKind.DIRECTORY, FileKind.LINK} <= kinds
    assert "a/z/file" in found


def test_a_swap_between_looking_and_opening_opens_nothing_else(trapped: Path) -> None:
    tree = Tree(Directory.open_root(trapped), most_open=1)
    entry = next(entry for entry in walk(tree) if relative(entry) == "a/z/file")
    tree.directory(("a",))  # the only one that may be held
    (trapped / "a" / "z").rename(trapped / "a" / "aside")
    (trapped / "a" / "link").rename(trapped / "a" / "z")
    with pytest.raises(UnsafeFileError):
        entry.file.open()
    with pytest.raises(UnsafeFileError):
        entry.file.stat()


def test_a_swap_before_a_directory_is_entered_enters_nothing_else(trapped: Path) -> None:
    entries = walk(Tree.named(trapped))
    while relative(next(entries)) != "a/z":
        pass
    (trapped / "a" / "z").rename(trapped / "a" / "aside")
    (trapped / "a" / "link").rename(trapped / "a" / "z")
    left = list(entries)
    assert relative(left[0]) == "a/z"
    assert isinstance(left[0].error, UnsafeFileError)
    assert [relative(entry) for entry in left[1:]] == ["honest"]


def test_a_file_that_becomes_a_fifo_or_a_link_is_not_opened(trapped: Path) -> None:
    file = Tree.named(trapped).open_file
    (trapped / "honest").unlink()
    os.mkfifo(trapped / "honest")
    with pytest.raises(UnsafeFileError):
        file(("honest",))
    (trapped / "honest").unlink()
    (trapped / "honest").symlink_to("../secret/file")
    with pytest.raises(UnsafeFileError):
        file(("honest",))


def test_a_directory_that_was_moved_is_known_not_to_be_there(trapped: Path) -> None:
    tree = Tree.named(trapped)
    held = tree.directory(("a", "z"))
    assert tree.leads_to(("a", "z"), held)
    (trapped / "a" / "z").rename(trapped / "moved")
    assert not tree.leads_to(("a", "z"), held)
    fresh = tree.directory(("a", "z"), make=True)
    assert tree.leads_to(("a", "z"), fresh)
    assert not tree.leads_to(("a", "z"), held)
    trapped.rename(trapped.parent / "elsewhere")
    assert not tree.leads_to((), tree.root)


# --- files that were named -------------------------------------------------------------------


def test_a_named_file_may_be_a_link_and_must_stay_what_it_was(trapped: Path) -> None:
    (trapped / "latest").symlink_to("honest")
    named = NamedFile(trapped / "latest")
    with named.open() as file:
        assert file.read() == b"honest"
    (trapped / "latest").unlink()
    (trapped / "latest").symlink_to("../secret/file")
    with pytest.raises(UnsafeFileError, match="replaced"):
        named.open()


def test_a_named_file_is_a_regular_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnsafeFileError, match="regular"):
        NamedFile(tmp_path / "fifo").open()


@needs_another_user
def test_a_link_of_another_user_leads_to_files_of_his_only(tmp_path: Path) -> None:
    for name, owner in {"his": 54321, "ours": 0}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text(name)
        os.chown(tmp_path / name / "log", owner, owner)
    (tmp_path / "his" / "link").symlink_to("log")
    (tmp_path / "his" / "planted").symlink_to("../ours/log")
    (tmp_path / "his" / "directory").symlink_to(tmp_path / "ours")
    (tmp_path / "chosen").symlink_to("his/link")
    for link in ("link", "planted", "directory"):
        os.lchown(tmp_path / "his" / link, 54321, 54321)
    for path in ("his/log", "his/link", "chosen", "./his/../chosen"):
        with open_through_links(f"{tmp_path}/{path}") as file:
            assert file.read() == b"his"
    for path in ("his/planted", "his/directory/log"):
        with pytest.raises(UnsafeFileError, match="a link of another user's"):
            open_through_links(f"{tmp_path}/{path}")
    (tmp_path / "loop").symlink_to("loop")
    for path in ("loop", "none", "his/log/x", "his", "his/..", ""):
        with pytest.raises(OSError, match=r"many|No such|[Nn]ot "):
            open_through_links(f"{tmp_path}/{path}")


@needs_another_user
def test_a_named_file_of_another_user_is_never_what_he_swaps_it_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    shared = tmp_path / "shared"
    for directory in (secret, shared / "logs"):
        directory.mkdir(parents=True)
        (directory / "log").write_text(directory.name)
    (shared / "link").symlink_to(secret)
    read = 0
    # A directory on the way, by an absolute link.
    with flipping(shared, "logs", "link"):
        for _ in range(_MOST_TRIES):
            with contextlib.suppress(OSError), open_through_links(f"{shared}/logs/log") as file:
                assert file.read() == b"logs"
                read += 1
            if read == 300:
                break
    assert read == 300
