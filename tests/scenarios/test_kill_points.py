"""Killed at random moments and run again until done: the bucket equals the input, byte for byte.

SIGKILL, SIGTERM and Ctrl-C strike when the proxy has seen the k-th event of the run. A part that S3
has acknowledged is never sent again, so what is sent twice stays within the parts that were in
flight. Replay or vary with KILL_SEED=<number>.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Argument, Result
from tests.support.commands.small_scale import PART_BYTES
from tests.support.proxy.killing import Killer, KillPoint
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene

SEED = int(os.environ.get("KILL_SEED", "3"))
KILLS_PER_BATCH = 15
BATCHES = {"upload": 6, "stream": 5, "finish": 3}  # 210 kills
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
IN_FLIGHT_PARTS = 8


@dataclass
class Sequence:
    """One execution, and the command that is killed and repeated on it."""

    execution_id: str
    arguments: tuple[Argument, ...]
    expected: dict[str, bytes]
    stdin: bytes = b""
    kills: list[str] = field(default_factory=list)
    resent_allowed_bytes: int = 0
    completed_and_killed: bool = False


@dataclass
class Runs:
    """Runs sequences, with and without a killer."""

    scene: Scene
    forks: ForkServer

    def run(self, sequence: Sequence, killer: Killer) -> Result:
        """Run the command under the killer's eye, and wait until the proxy is quiet."""
        recorder = self.scene.recorder
        recorder.inject(killer, times=None)
        child = self.forks.start(*sequence.arguments, stdin=sequence.stdin)
        killer.aim(child.signal)
        result = child.wait()
        recorder.settle()
        recorder.heal()
        return result

    def run_undisturbed(self, sequence: Sequence) -> None:
        """Run the command to its end, in this process."""
        self.scene.cli(*sequence.arguments, stdin=sequence.stdin).ok()
        self.scene.recorder.settle()


Prepare = Callable[[Scene, random.Random], Sequence]


def prepare_upload(scene: Scene, chance: random.Random) -> Sequence:
    """A directory of four small files and one large one."""
    execution_id = scene.new_execution()
    tree = scene.directory / execution_id
    expected = {
        "logs/runner.log": chance.randbytes(chance.randint(1, PART_BYTES)),
        "artifacts/results.json": b"{}",
        "artifacts/custom/empty": b"",
        "artifacts/custom/deep/er.txt": chance.randbytes(chance.randint(1, 2000)),
        "artifacts/custom/large.bin": chance.randbytes(chance.randint(2, 6) * PART_BYTES + 17),
    }
    for path, content in expected.items():
        file = tree / path.removeprefix("artifacts/custom/").removeprefix("artifacts/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Sequence(execution_id, ("upload", execution_id, tree, "--json"), expected)


def prepare_stream(scene: Scene, chance: random.Random) -> Sequence:
    """Standard input of a few parts."""
    execution_id = scene.new_execution()
    content = chance.randbytes(chance.randint(1, 7 * PART_BYTES))
    arguments = ("upload", execution_id, "-", "--name", "stdout.log", "--json")
    return Sequence(execution_id, arguments, {"logs/stdout.log": content}, content)


def prepare_finish(scene: Scene, chance: random.Random) -> Sequence:
    """An execution with two files that is to be finished."""
    execution_id = scene.new_execution()
    content = chance.randbytes(2 * PART_BYTES)
    expected = {"logs/stdout.log": content, "artifacts/results.json": b"{}"}
    for path, stdin in expected.items():
        scene.cli("upload", execution_id, "-", "--name", path, stdin=stdin).ok()
    scene.recorder.clear()
    return Sequence(execution_id, ("finish", execution_id, "--result", "pass"), expected)


PREPARE: dict[str, Prepare] = {
    "upload": prepare_upload,
    "stream": prepare_stream,
    "finish": prepare_finish,
}


@pytest.mark.parametrize(
    ("command", "batch"),
    [(command, batch) for command, count in BATCHES.items() for batch in range(count)],
)
def test_a_command_killed_anywhere_succeeds_when_it_is_repeated(
    scene: Scene, forks: ForkServer, command: str, batch: int
) -> None:
    chance = random.Random(f"{SEED} {command} {batch}")
    runs = Runs(scene, forks)
    events = _count_events(runs, PREPARE[command](scene, chance))
    kills = 0
    while kills < KILLS_PER_BATCH:
        sequence = PREPARE[command](scene, chance)
        scene.recorder.clear()
        try:
            kills += _kill_and_finish(runs, sequence, events, chance)
        finally:
            print(f"KILL_SEED={SEED} {command} {batch}: {', '.join(sequence.kills)}")


def _count_events(runs: Runs, sequence: Sequence) -> int:
    """Run once without killing, and return how many moments there are."""
    witness = Killer()
    runs.scene.recorder.inject(witness, times=None)
    runs.run_undisturbed(sequence)
    runs.scene.recorder.heal()
    _check_done(runs.scene, sequence)
    return witness.events


def _kill_and_finish(runs: Runs, sequence: Sequence, events: int, chance: random.Random) -> int:
    kills = 0
    for _ in range(chance.randint(1, 3)):
        point = KillPoint(chance.randint(1, events), chance.choice(SIGNALS), chance.random())
        sequence.kills.append(str(point))
        killer = Killer(point)
        before = len(runs.scene.recorder.calls())
        result = runs.run(sequence, killer)
        _check_killed(runs.scene, sequence, result, point, killer)
        _note_interrupted(runs.scene.recorder, sequence, before)
        kills += killer.struck
    runs.run_undisturbed(sequence)
    _check_done(runs.scene, sequence)
    return kills


def _check_killed(
    scene: Scene, sequence: Sequence, result: Result, point: KillPoint, killer: Killer
) -> None:
    """Whatever is visible is whole, and who was asked to stop stopped in good order."""
    stored = scene.files(sequence.execution_id)
    assert stored == {path: sequence.expected[path] for path in stored}
    if not killer.struck:
        result.ok()
    elif point.number is signal.SIGKILL:
        assert result.exit_code in (-signal.SIGKILL, 0)
    else:
        assert result.exit_code in (130, 0), result
        assert "Traceback" not in result.err, result.err
        result.json_lines()
    if result.exit_code == 130:
        assert f"upload {sequence.execution_id}" in result.err or sequence.stdin == b""


def _note_interrupted(proxy: Proxy, sequence: Sequence, before: int) -> None:
    """Note what a run left unsettled: its parts that were in flight, and a late completion."""
    run = proxy.calls()[before:]
    lost = [one for one in run if one.operation == "UploadPart" and one.server_status != 200]
    assert len(lost) <= IN_FLIGHT_PARTS
    sequence.resent_allowed_bytes += sum(one.request_bytes for one in lost)
    if any(one.operation == "CompleteMultipartUpload" for one in run):
        sequence.completed_and_killed = True


def _check_done(scene: Scene, sequence: Sequence) -> None:
    assert scene.files(sequence.execution_id) == sequence.expected
    left = scene.unfinished_uploads()
    for upload_id, key in left.items():
        # Who completes an object gives up the other uploads of its key then, unless killed first.
        assert sequence.completed_and_killed
        scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=key, UploadId=upload_id)
    _check_sent_once(scene.recorder, sequence)
    if sequence.arguments[0] == "finish":
        _check_finished(scene, sequence)


def _check_sent_once(proxy: Proxy, sequence: Sequence) -> None:
    """What S3 has acknowledged was never sent again."""
    acknowledged = Counter(
        (one.operation, one.key, one.part_number)
        for operation in ("PutObject", "UploadPart", "CompleteMultipartUpload")
        for one in proxy.calls(operation)
        if one.server_status == 200 and not one.key.endswith("metadata.json")
    )
    assert [what for what, count in acknowledged.items() if count > 1] == []
    sizes = sum(len(content) for content in sequence.expected.values())
    sent = proxy.request_bytes("UploadPart")
    assert sent <= sizes + sequence.resent_allowed_bytes


def _check_finished(scene: Scene, sequence: Sequence) -> None:
    metadata = json.loads(scene.cli("show", sequence.execution_id, "--json").ok().stdout)
    assert (metadata["status"], metadata["result"]) == ("completed", "pass")
    assert [one["path"] for one in metadata["artifacts"]] == sorted(sequence.expected)
    history = scene.contents("history/")
    (line,) = [text for key, text in history.items() if sequence.execution_id in key]
    assert line.count(b"\n") == 1
    record: dict[str, Any] = json.loads(line)
    shared = record.keys() & metadata.keys()
    assert {"execution_id", "ended_at", "manifest_sha256"} <= shared
    assert {name: record[name] for name in shared} == {name: metadata[name] for name in shared}
