"""A name is the bytes it has on disk or on the command line, whatever charset the locale names."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.commands.running import Processes
from tests.support.scene import Scene

# What a locale of ISO 8859-1 does to Python, without need of one.
NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ID = "01JZ0000000000000000000000"
OTHER_ID = "01JZ0000000000000000000001"


def test_names_are_utf8_in_a_locale_that_is_not(scene: Scene, cli_process: Processes) -> None:
    tree, out = scene.directory / "tree", scene.directory / "out"
    (tree / "größe").mkdir(parents=True)
    (tree / "größe" / "é.txt").write_text("1")
    (tree / os.fsdecode(b"latin-\xe9")).write_text("2")

    def run(*arguments: str | Path, exit_code: int = 0) -> bytes:
        return cli_process.run(*arguments, env=NOT_UTF8).expect(exit_code).stdout

    shows_variable = 'import os; print(os.environ.get("PYTHONUTF8"))'
    command = ("python3", "-c", shows_variable)
    assert run("run", "--id", ID, "--artifacts", tree, "--", *command) == b"0\n"
    run("upload", ID, tree, exit_code=3)
    run("upload", ID, tree / "größe" / "é.txt", "--name", "ü.txt")
    stored = {"größe/é.txt", "ü.txt"}
    keys = {key.rpartition("/custom/")[2] for key in scene.list_keys() if "custom" in key}
    assert keys == stored
    raw = scene.directory / "efs" / "b1" / OTHER_ID / "raw"
    (raw / "größe").mkdir(parents=True)
    (raw / "größe" / "é.txt").write_text("1")
    run("sync-efs", "--root", scene.directory / "efs", "--settle", "0s")
    assert f"executions/{OTHER_ID}/artifacts/custom/größe/é.txt" in scene.list_keys()
    run("download", ID, "artifacts/custom/*ö*/é.txt", "-o", out)
    assert (out / "artifacts" / "custom" / "größe" / "é.txt").read_text() == "1"
    assert "artifacts/custom/größe/é.txt".encode() in run("ls", ID)
