"""What each command prints with --json is what its schema says, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import jsonschema
import pytest

from orchestrator_cli.cli.main import COMMANDS
from orchestrator_cli.cli.main import cli as program
from orchestrator_cli.cli.schemas.commands import OUTPUTS
from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

OLD = datetime.now(UTC) - timedelta(days=3)


class Checked:
    """Runs a command with --json and holds each line against the schema that is printed."""

    def __init__(self, cli: RunCommand) -> None:
        self._cli = cli
        self.seen: dict[str, set[str]] = {}

    def __call__(self, name: str, *arguments: str, exit_code: int = 0) -> None:
        result = self._cli(*name.split(), *arguments, "--json").expect(exit_code)
        lines = result.json_lines()
        assert lines, name
        if not OUTPUTS[name].is_stream:
            assert len(lines) == 1
        check = self._validator(name)
        for line in lines:
            check.validate(line)
            self.seen.setdefault(name, set()).add(self._kind(check, line))

    def _validator(self, name: str) -> Any:
        schema = self._cli("schema", *name.split()).ok().json()
        kind = jsonschema.Draft202012Validator
        kind.check_schema(schema)
        return kind(schema, format_checker=kind.FORMAT_CHECKER)

    @staticmethod
    def _kind(check: Any, line: Any) -> str:
        """Return which of the kinds it is, by what alone fits."""
        schema = check.schema
        for choice in schema.get("anyOf", [{"$ref": schema.get("$ref", "#")}]):
            only = {**schema, "anyOf": [choice]}
            if check.evolve(schema=only).is_valid(line):
                return str(choice["$ref"])
        raise AssertionError(line)


@pytest.fixture
def checked(cli: RunCommand) -> Checked:
    return Checked(cli)


def test_every_command_with_json_has_a_schema() -> None:
    context = click.Context(program, info_name="orchestrator")
    found = set()
    for name in COMMANDS:
        command = program.get_command(context, name)
        inner = getattr(command, "commands", {"": command})
        for word, one in inner.items():
            if any(param.name == "as_json" for param in one.params):
                found.add(f"{name} {word}".strip())
    assert found == set(OUTPUTS)


def test_what_writes_and_reads_executions_prints_what_is_specified(
    scene: Scene, checked: Checked
) -> None:
    tree = scene.write_tree({"stdout.log": "one\ntwo ERROR\n", "a.txt": "a", "b.txt": "b"})
    (tree / "leads-away").symlink_to(scene.directory)
    execution_id = scene.put_execution(make_id(), {"artifacts/custom/b.txt": b"other"})
    checked("new", "--suite", "x", "--label", "a=b")
    checked("upload", execution_id, str(tree / "a.txt"), "--dry-run")
    checked("upload", execution_id, str(tree), "nowhere", exit_code=3)
    checked("upload", execution_id, str(tree / "a.txt"))
    checked("finish", execution_id, "--result", "fail")
    checked("ls", "--since", "2026-01-01")
    checked("ls", execution_id)
    checked("show", execution_id)
    checked("url", execution_id)
    checked("url", execution_id, "--ui", "--ui-url", "https://results.example.com")
    checked("download", execution_id, "-o", str(scene.directory / "copy"))
    checked("download", execution_id, "-o", str(scene.directory / "copy"))
    checked("verify", execution_id)
    checked("verify", execution_id, str(tree), exit_code=7)
    checked("index", execution_id)
    for options in ((), ("-c",), ("-l",), ("-C", "1")):
        checked("grep", "ERROR", "--since", "2026-01-01", *options)
    checked("restore", execution_id, "--yes")
    checked("cost", execution_id)
    checked("config show")
    for name, kinds in {"ls": 2, "url": 2, "grep": 3, "cost": 2}.items():
        assert len(checked.seen[name]) == kinds, name


def test_what_is_said_of_the_bucket_is_what_is_specified(checked: Checked, bucket: str) -> None:
    checked("lifecycle plan", "--archive-after", "0", "--override-policy")
    checked("lifecycle apply", "--archive-after", "0", "--override-policy", "--yes")
    checked("lifecycle show")
    checked("doctor", exit_code=3)


def test_what_benches_left_is_told_as_specified(scene: Scene, checked: Checked) -> None:
    bench = scene.directory / "bench-1"
    bench.mkdir()
    options = ("--root", str(scene.directory), "--settle", "0")
    checked("new", "--offline", "--bench-id", "bench-1", "--root", str(scene.directory))
    (directory,) = bench.iterdir()
    (directory / "raw" / "stdout.log").write_text("x")
    (directory / "raw" / "a.bin").write_text("x")
    checked(
        "finish", directory.name, "--result", "pass", "--offline", "--root", str(scene.directory)
    )
    other = bench / make_id(number=9)
    other.mkdir()
    checked("adapter check", str(other), exit_code=3)
    checked("sync-efs", *options, "--dry-run")
    checked("sync-efs", *options)
    assert len(checked.seen["sync-efs"]) == 3
    assert len(checked.seen["new"]) == len(checked.seen["finish"]) == 1


def test_what_has_no_json_has_no_schema(cli: RunCommand) -> None:
    refused = cli("schema", "logs").expect(2)
    assert refused.err.startswith("error: 'logs' is not a command with --json\nhint: these have: ")
    assert json.loads(cli("schema", "lifecycle", "plan").ok().out)["title"].endswith("--json")
