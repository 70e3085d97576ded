"""The contract of bench adapters: one that keeps it, and what is said of those that do not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
import tty
from pathlib import Path

import pytest

from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.bench_tree import OLD_ID, BenchTree

ADAPTER = Path(__file__).parent.parent / "support/servers/serial_adapter.py"
CONSOLE = b"boot\r\n--- dump ../core.txt\r\nregisters\r\n--- end\r\n--- dump lost\r\nhalf"


def test_what_a_serial_console_says_is_stored(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree.root / "b1").mkdir()
    new = ("new", "--offline", "--root", str(tree.root), "--bench-id", "b1")
    execution_id = scene.cli(*new).ok().out.strip()
    directory = tree.directory(execution_id)
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with subprocess.Popen([sys.executable, ADAPTER, os.ttyname(theirs), directory]) as adapter:
        os.write(ours, CONSOLE + b"\r\n")
        log = directory / "raw/bench.log"
        deadline = time.monotonic() + 30
        while not log.exists() or not log.read_bytes().endswith(b"half\n"):
            assert adapter.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.close(theirs)
        os.close(ours)
        assert adapter.wait(30) == 0
    assert scene.cli("adapter", "check", directory).ok().out.startswith("note: ")
    finish = ("finish", execution_id, "--result", "pass", "--offline", "--root", str(tree.root))
    scene.cli(*finish).ok()
    monkeypatch.chdir(directory)
    assert scene.cli("adapter", "check", ".").ok().out == ""

    scene.cli(*tree.arguments).ok()
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("pass", "complete")
    prefix = f"executions/{execution_id}/"
    files = scene.contents(prefix)
    assert files[f"{prefix}artifacts/custom/core.txt"] == b"registers\n"
    assert files[f"{prefix}logs/bench.log"] == CONSOLE.replace(b"\r", b"") + b"\n"
    assert not [key for key in files if "lost" in key]


def test_each_breach_is_named(cli: RunCommand, tree: BenchTree) -> None:
    tree.write("raw/stdout.log", b"out\n")
    tree.write("raw/logs/stdout.log", b"out\n")
    tree.write("raw/new\nline")
    tree.write("raw/short.bin", b"123")
    tree.write("other/x")
    os.symlink("stdout.log", tree.directory() / "raw/link")
    promised = (
        '{"result": "pass", "files": [{"path": "gone"}, {"path": "short.bin", "size_bytes": 4},'
        f' {{"path": "stdout.log", "sha256": "{"0" * 64}"}}]}}'
    )
    tree.write("execution.json", promised.encode())
    result = cli("adapter", "check", "--json", tree.directory()).expect(3)
    assert "7 findings" in result.err
    root = f"{tree.directory()}/"
    found = [(line["path"].removeprefix(root), line["text"]) for line in result.json_lines()]
    (unstorable,) = [one for one in found if one[1].startswith("cannot be stored: ")]
    assert sorted(set(found) - {unstorable}) == [
        ("other", "neither raw/ nor temp/"),
        ("raw/gone", "promised, and not in raw/"),
        ("raw/link", "a link"),
        ("raw/logs/stdout.log", "not promised; it is stored"),
        ("raw/short.bin", "promised with 4 bytes, it has 3"),
        ("raw/stdout.log", f"goes to the same place as {root}raw/logs/stdout.log: logs/stdout.log"),
        ("raw/stdout.log", "promised with another SHA-256 than it has"),
    ]

    tree.write("execution.json", b'{"result": "well"}')
    out = cli("adapter", "check", tree.directory()).expect(3).out
    assert f"{root}execution.json: execution.json is not valid: result: " in out
    assert cli("adapter", "check", tree.root).expect(2).out == ""
    assert cli("adapter", "check", tree.root / "b9" / OLD_ID).expect(4).out == ""
