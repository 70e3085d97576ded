"""A bench for months, in seconds: power cuts, a flapping endpoint, a mount that vanishes.

A writer fills the tree as a bench does, in `temp/` first and then by renaming, and is killed at any
moment; so is `sync-efs`, which deletes what it has stored at once. Afterwards every file that was
ever complete is in S3 or still there. Replay or vary with KILL_SEED=<number>.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands.forkserver import ForkServer
from tests.support.commands.small_scale import PART_BYTES
from tests.support.proxy import faults
from tests.support.proxy.killing import Killer, KillPoint
from tests.support.scene import Scene
from tests.support.stored.bench_tree import OLD_ID, OTHER_ID

SEED = int(os.environ.get("KILL_SEED", "3"))
KILLS_PER_BATCH = 12
IDS = (OLD_ID, OTHER_ID)

# Argument: the bench's directory, the first number, the size of a part. The content of a file
# follows from its name, so that anybody can say what it should be.
_WRITER = """
import hashlib, os, sys
place, number, part = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while True:
    name = f"{number:06}"
    size = 3 * part + 11 if number % 9 == 0 else number % 700
    data = (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]
    execution = os.path.join(place, sys.argv[4 + number % 2])
    os.makedirs(os.path.join(execution, "temp"), exist_ok=True)
    with open(os.path.join(execution, "temp", name), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.makedirs(os.path.join(execution, "raw", f"d{number % 3}"), exist_ok=True)
    target = os.path.join(execution, "raw", f"d{number % 3}", name)
    # Known before it is there: what was never finished may be missing, nothing else.
    print(target, flush=True)
    os.rename(os.path.join(execution, "temp", name), target)
    print("done", flush=True)
    number += 1
    sys.stdin.readline()
"""


def expected(name: str) -> bytes:
    number = int(name)
    size = 3 * PART_BYTES + 11 if number % 9 == 0 else number % 700
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


class Writer:
    """The bench's process. It writes a file for each line it is sent."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._next = 0
        self.complete: set[Path] = set()
        self._process: subprocess.Popen[str] | None = None

    def write(self, count: int) -> None:
        """Write some files, and begin one more."""
        process = self._process or self._start()
        for _ in range(count):
            self._take(process)
        self._process = process

    def cut_power(self) -> None:
        """Kill it in the middle of a file."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._next += 1

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                _WRITER,
                str(self._place),
                str(self._next),
                str(PART_BYTES),
                *IDS,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _take(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        target = Path(process.stdout.readline().rstrip("\n"))
        assert process.stdout.readline() == "done\n"
        self.complete.add(target)
        self._next = int(target.name) + 1
        process.stdin.write("\n")
        process.stdin.flush()


def in_s3(scene: Scene) -> dict[tuple[str, str], bytes]:
    """Return the stored content by execution and file name."""
    return {
        (key.split("/")[1], key.rpartition("/")[2]): content
        for key, content in scene.contents("executions/").items()
        if "/artifacts/" in key
    }


def check_nothing_lost(writer: Writer, stored: dict[tuple[str, str], bytes]) -> None:
    for (_, name), content in stored.items():
        assert content == expected(name), name
    for target in writer.complete:
        execution_id = target.parts[-4]
        if not target.exists():
            assert (execution_id, target.name) in stored, f"{target} was deleted and is not stored"
        else:
            assert target.read_bytes() == expected(target.name)


@pytest.mark.parametrize("batch", range(3))
def test_power_cuts_lose_nothing(scene: Scene, forks: ForkServer, batch: int) -> None:
    chance = random.Random(f"{SEED} bench {batch}")
    root = scene.directory / "efs"
    writer = Writer(root / "b1")
    arguments = ("sync-efs", "--root", root, "--settle", "0s", "--retain", "1ms")
    kills: list[str] = []
    try:
        while len(kills) < KILLS_PER_BATCH:
            writer.write(chance.randint(1, 6))
            if chance.random() < 0.4:
                writer.cut_power()
            point = KillPoint(
                chance.randint(1, 60),
                chance.choice((signal.SIGKILL, signal.SIGTERM)),
                chance.random(),
            )
            killer = Killer(point)
            scene.recorder.inject(killer, times=None)
            child = forks.start(*arguments)
            killer.aim(child.signal)
            result = child.wait()
            scene.recorder.settle()
            scene.recorder.heal()
            assert result.exit_code in (0, 130, -signal.SIGKILL), result
            kills.append(str(point))
            check_nothing_lost(writer, in_s3(scene))
    finally:
        print(f"KILL_SEED={SEED} bench {batch}: {', '.join(kills)}")
        writer.cut_power()
    forks.run(*arguments).ok()
    stored = in_s3(scene)
    check_nothing_lost(writer, stored)
    assert {(target.parts[-4], target.name) for target in writer.complete} <= stored.keys()
    assert not [path for path in root.rglob("raw/*/*") if path.is_file()]


def test_a_watch_survives_a_flapping_endpoint_and_a_vanishing_mount(
    scene: Scene, forks: ForkServer
) -> None:
    chance = random.Random(f"{SEED} flapping")
    root, away = scene.directory / "efs", scene.directory / "away"
    writer = Writer(root / "b1")
    arguments = ("sync-efs", "--root", root, "--settle", "0s", "--retain", "1ms", "--watch")
    writer.write(3)
    child = forks.start(*arguments, "--interval", "10ms")
    troubles = (faults.internal_error(), faults.slow_down(), faults.ResetBefore())
    try:
        for _ in range(8):
            scene.recorder.inject(chance.choice(troubles), times=chance.randint(1, 40))
            writer.write(3)
            writer.cut_power()
            if chance.random() < 0.5:
                root.rename(away)
                time.sleep(chance.random() / 10)
                check_nothing_lost_elsewhere(writer, in_s3(scene), root, away)
                away.rename(root)
        scene.recorder.heal()
        wanted = {(target.parts[-4], target.name) for target in writer.complete}
        deadline = time.monotonic() + 60
        while not wanted <= in_s3(scene).keys():
            assert time.monotonic() < deadline, wanted - in_s3(scene).keys()
            time.sleep(0.1)
    finally:
        writer.cut_power()
        child.signal(signal.SIGTERM)
        result = child.wait()
    assert result.exit_code == 0, result
    assert "Traceback" not in result.err
    check_nothing_lost(writer, in_s3(scene))
    forks.run(*arguments[:-1]).ok()
    for execution_id in IDS:
        assert scene.record(execution_id)["artifact_status"] == "pending"


def check_nothing_lost_elsewhere(
    writer: Writer, stored: dict[tuple[str, str], bytes], root: Path, away: Path
) -> None:
    for target in writer.complete:
        here = away / target.relative_to(root)
        assert here.exists() or (target.parts[-4], target.name) in stored
