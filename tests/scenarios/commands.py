"""The commands under fire: each with an execution to work on, and what it should leave behind."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator_cli.core.executions.keys import metadata_key
from tests.support.commands.running import Argument, Result
from tests.support.commands.secrets import check_no_secrets
from tests.support.commands.small_scale import DOUBLING, PART_BYTES
from tests.support.proxy.connection import Exchange
from tests.support.scene import Scene
from tests.support.stored.executions import make_id
from tests.support.stored.plain import plain_s3

SMALL = b"a small log\n" * 100
LARGE = bytes(range(256)) * (2 * PART_BYTES // 256) + b"the third part"
RESULTS = b'{"passed": 12}'
KEPT = {"logs/stdout.log": LARGE, "artifacts/results.json": RESULTS}


@dataclass
class Case:
    """One command on an execution, and what the bucket and the disk should hold in the end."""

    execution_id: str
    arguments: tuple[Argument, ...]
    expected: dict[str, bytes]
    stdin: bytes = b""
    local: Path | None = None


Run = Callable[[Case], Result]


@dataclass(frozen=True)
class Target:
    """One request of a run, whatever the execution's id and the order of parallel requests."""

    operation: str
    key: str
    part_number: int | None
    nth: int

    def __str__(self) -> str:
        part = f", part {self.part_number}" if self.part_number else ""
        return f"{self.operation} of {self.key}{part}, the {self.nth}."


@dataclass
class CommandScene(Scene):
    """A scene with executions and files for the commands under fire."""

    kept: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        """Return the id of an execution that nobody has made."""
        return make_id(number=next(self._numbers))

    def make_execution(self, files: Mapping[str, bytes] | None = None) -> str:
        """Put an execution into the bucket that holds these files, the large ones in parts."""
        files = files or {}
        small = {path: data for path, data in files.items() if len(data) <= PART_BYTES}
        execution_id = self.put_execution(self.new_id(), small)
        with plain_s3(self.s3) as plain:
            for path in files.keys() - small.keys():
                data = files[path]
                parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
                plain.put_parts(self.bucket, f"executions/{execution_id}/{path}", parts, DOUBLING)
        return execution_id

    def kept_execution(self) -> str:
        """Return an execution with files that nobody changes."""
        if not self.kept:
            self.kept = self.make_execution(KEPT)
        return self.kept

    def new_path(self, name: str) -> Path:
        path = self.directory / str(next(self._numbers)) / name
        path.parent.mkdir()
        return path

    def history(self, execution_id: str) -> list[bytes]:
        """Return the history lines of an execution."""
        wanted = [key for key in self.list_keys("history/") if f"/{execution_id}." in key]
        with plain_s3(self.s3) as plain:
            return [plain.ask("GET", self.bucket, key) for key in wanted]


# --- the commands ----------------------------------------------------------------------------


def case_new(scene: CommandScene) -> Case:
    execution_id = scene.new_id()
    return Case(execution_id, ("new", "--id", execution_id, "--suite", "smoke"), {})


def case_upload_small(scene: CommandScene) -> Case:
    execution_id = scene.make_execution()
    path = scene.new_path("runner.log")
    path.write_bytes(SMALL)
    return Case(execution_id, ("upload", execution_id, path), {"logs/runner.log": SMALL})


def case_upload_large(scene: CommandScene) -> Case:
    execution_id = scene.make_execution()
    path = scene.new_path("trace.pcap")
    path.write_bytes(LARGE)
    expected = {"artifacts/traces/trace.pcap": LARGE}
    return Case(execution_id, ("upload", execution_id, path), expected)


def case_stream(scene: CommandScene) -> Case:
    execution_id = scene.make_execution()
    arguments = ("upload", execution_id, "-", "--name", "stdout.log")
    return Case(execution_id, arguments, {"logs/stdout.log": LARGE}, LARGE)


def case_finish(scene: CommandScene) -> Case:
    execution_id = scene.make_execution(KEPT)
    return Case(execution_id, ("finish", execution_id, "--result", "pass"), KEPT)


def case_logs(scene: CommandScene) -> Case:
    execution_id = scene.kept_execution()
    local = scene.new_path("saved.log")
    return Case(execution_id, ("logs", execution_id, "-o", local), KEPT, local=local)


def case_download(scene: CommandScene) -> Case:
    execution_id = scene.kept_execution()
    local = scene.new_path("files")
    return Case(execution_id, ("download", execution_id, "-o", local), KEPT, local=local)


CASES: dict[str, Callable[[CommandScene], Case]] = {
    "new": case_new,
    "upload-small": case_upload_small,
    "upload-large": case_upload_large,
    "stream": case_stream,
    "finish": case_finish,
    "logs": case_logs,
    "download": case_download,
}
WRITING = ("new", "upload-small", "upload-large", "stream", "finish")

# --- their requests --------------------------------------------------------------------------


# What each command asks for is the same in every test.
_undisturbed: dict[str, list[tuple[Target, Exchange]]] = {}


def find_targets(
    scene: CommandScene,
    command: str,
    run: Run,
    wanted: Callable[[Exchange], bool] = lambda one: True,
) -> list[Target]:
    """Return the wanted ones of the requests that the command sends when nothing disturbs it."""
    if command not in _undisturbed:
        _undisturbed[command] = _run_undisturbed(scene, command, run)
    return [target for target, exchange in _undisturbed[command] if wanted(exchange)]


def _run_undisturbed(scene: CommandScene, command: str, run: Run) -> list[tuple[Target, Exchange]]:
    case = CASES[command](scene)
    scene.recorder.clear()
    check_success(scene, case, run(case), "undisturbed")
    scene.recorder.settle()
    seen: Counter[tuple[str, str, int | None]] = Counter()
    targets = []
    for exchange in scene.recorder.calls():
        name = exchange.operation, _general(exchange.key, case), exchange.part_number
        seen[name] += 1
        targets.append((Target(*name, seen[name]), exchange))
    return targets


def key_pattern(target: Target, case: Case) -> str:
    """Return the regular expression of the target's key in another execution."""
    # The id comes last, as it may have the letters of DAY in it.
    name = re.escape(target.key).replace("DAY", "date=[0-9-]+")
    return f"^{name.replace('ID', case.execution_id)}$"


def _general(key: str, case: Case) -> str:
    key = key.replace(case.execution_id, "ID")
    return re.sub(r"date=[0-9-]+", "DAY", key)


# --- what they leave -------------------------------------------------------------------------


def check_success(scene: CommandScene, case: Case, result: Result, what: str) -> None:
    assert result.exit_code == 0, f"{what}: exit {result.exit_code}\n{result.err}"
    check_no_secrets(result)
    metadata = scene.record(case.execution_id)
    assert metadata["execution_id"] == case.execution_id
    assert metadata["failures"] == []
    assert scene.files(case.execution_id) == case.expected, what
    unfinished = scene.unfinished_uploads().values()
    assert [key for key in unfinished if case.execution_id in key] == [], what
    if case.arguments[0] == "finish":
        check_finished(scene, case, metadata)
    if case.local is not None:
        assert _local_files(case.local) == _read_by(case), what


def check_finished(scene: CommandScene, case: Case, metadata: dict[str, Any]) -> None:
    assert (metadata["status"], metadata["result"]) == ("completed", "pass")
    assert [one["path"] for one in metadata["artifacts"]] == sorted(case.expected)
    (line,) = scene.history(case.execution_id)
    record = json.loads(line)
    assert record["ended_at"] == metadata["ended_at"]
    assert record["manifest_sha256"] == metadata["manifest_sha256"]


def check_failure(
    scene: CommandScene, case: Case, result: Result, codes: set[int], what: str
) -> None:
    """Fail the test unless the run ended so, said why, and left nothing half-done."""
    assert result.exit_code in codes, f"{what}: exit {result.exit_code}\n{result.err}"
    check_no_secrets(result)
    assert result.err.count("error: ") == 1, f"{what}: {result.err}"
    assert "Traceback" not in result.err, what
    if scene.list_keys(metadata_key(case.execution_id)):
        assert scene.record(case.execution_id)["execution_id"] == case.execution_id
    stored = scene.files(case.execution_id)
    assert stored == {path: case.expected[path] for path in stored}, what
    if case.local is not None and case.local.is_dir():
        found = _local_files(case.local)
        assert found == {path: case.expected[path] for path in found}, what


def _read_by(case: Case) -> dict[str, bytes]:
    return {"": LARGE} if case.arguments[0] == "logs" else case.expected


def _local_files(path: Path) -> dict[str, bytes]:
    """Return the files that have a name of their own; a partial download has not."""
    if path.is_file():
        return {"": path.read_bytes()}
    found = [file for file in path.rglob("*") if file.is_file()]
    named = [file for file in found if not file.name.startswith(".orchestrator-")]
    return {str(file.relative_to(path)): file.read_bytes() for file in named}
