"""An upload that is killed half way and run again: what is sent twice, when the rest begins."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator_cli.core.s3.part_plan import DOUBLING, plan_parts
from tests.bench.counted.counting import Call, CountingServer, run_counting_server
from tests.bench.counted.unfinished import UnfinishedUploads
from tests.bench.fixtures import NEW_ID, make_record
from tests.bench.measuring.command import CommandFailed, Figures, Run, run_command, start_command
from tests.bench.measuring.peers import OURS
from tests.bench.measuring.report import Verdict, as_record, judge
from tests.bench.measuring.workload import Target

_KILLED = -9
# So many threads hash as fast as this machine can.
_HASHING_THREADS = 4
_MOST_TIMES = 3
_LOOK_SECONDS = 0.1
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Resumption:
    """One upload that was killed and run again.

    `sent_again` is what arrived of the body of parts beyond the file's size, `in_flight` the parts
    that had not arrived whole when it was killed, both in bytes.
    """

    run: Run
    sent_again: int
    in_flight: int
    parts_in_flight: int
    stored: dict[int, int]
    first_new_byte_seconds: float


@dataclass(frozen=True, slots=True)
class ResumeBench:
    """A server that keeps parts, and the file that is uploaded to it."""

    server: CountingServer
    uploads: UnfinishedUploads
    file: Path

    def measure(
        self,
        commands: Mapping[str, list[str]],
        environment: Mapping[str, str],
        repeat: int,
        name: str,
    ) -> dict[str, Any]:
        """Kill and resume ours, three times at most; each peer once, since it begins anew."""
        figures = {}
        for tool, command in commands.items():
            try:
                times = min(repeat, _MOST_TIMES) if tool == OURS else 1
                pairs = [self._once(command, environment, tool == OURS) for _ in range(times)]
            except CommandFailed as error:
                if tool == OURS:
                    raise
                print(f"left out: {error}")
                continue
            figures[tool] = Figures.of([run for run, _ in pairs], [more for _, more in pairs])
        gib = self.file.stat().st_size / (1 << 30)
        says = f"resume an upload of {gib:g} GiB that was killed at 50 %"
        return as_record("resume", says, name, figures, _judge(figures))

    def _once(
        self, command: list[str], environment: Mapping[str, str], ours: bool
    ) -> tuple[Run, dict[str, float]]:
        one = self._kill_and_resume(command, environment)
        more = {
            "sent again MiB": one.sent_again / (1 << 20),
            "in flight MiB": one.in_flight / (1 << 20),
            "parts in flight": float(one.parts_in_flight),
            "first new byte s": one.first_new_byte_seconds,
        }
        if ours:
            more["hashing s"] = hash_parts(self.file, one.stored, 1)
            more["hashing in threads s"] = hash_parts(self.file, one.stored, _HASHING_THREADS)
        return one.run, more

    def _kill_and_resume(self, command: list[str], environment: Mapping[str, str]) -> Resumption:
        self.uploads.forget()
        self._upload_half(command, environment)
        before = _parts(self.server.forget())
        stored = {
            number: part.size_bytes
            for upload in self.uploads.uploads.values()
            for number, part in upload.parts.items()
        }
        run = run_command(command, environment)
        after = _parts(self.server.forget())
        size = self.file.stat().st_size
        self._check(size)
        cut = [call for call in before if not call.arrived]
        fresh = [call.first_byte_at for call in after if call.request.part_number not in stored]
        begun = min((at for at in fresh if at is not None), default=run.begun)
        return Resumption(
            run=run,
            sent_again=sum(call.received_bytes for call in [*before, *after]) - size,
            in_flight=sum(map(_announced_bytes, cut)),
            parts_in_flight=len(cut),
            stored=stored,
            first_new_byte_seconds=begun - run.begun,
        )

    def _upload_half(self, command: list[str], environment: Mapping[str, str]) -> None:
        half = self.file.stat().st_size // 2
        with (
            self.server.held_at(half) as reached,
            start_command(command, environment) as running,
        ):
            while not reached.wait(_LOOK_SECONDS):
                if running.has_ended:
                    running.end(_KILLED)
            running.kill()
            running.end(_KILLED)

    def _check(self, size_bytes: int) -> None:
        """Raise CommandFailed unless exactly the file was completed, by its size."""
        sizes = [one.headers["Content-Length"] for one in self.uploads.completed.values()]
        if sizes != [str(size_bytes)]:
            raise CommandFailed(f"completed: {sizes} bytes instead of {size_bytes}")


@contextmanager
def run_resume_bench(certificates: Path, file: Path) -> Iterator[ResumeBench]:
    """Serve an execution without files until the block ends."""
    uploads = UnfinishedUploads({f"executions/{NEW_ID}/metadata.json": make_record(NEW_ID)})
    with run_counting_server(uploads.answer, certificates) as server:
        yield ResumeBench(server, uploads, file)


def hash_parts(file: Path, parts: Mapping[int, int], threads: int) -> float:
    """Return the seconds that hashing the parts of a file takes, which is the least to compare."""
    ranges = [one for one in plan_parts(file.stat().st_size, DOUBLING) if one.number in parts]

    def hash_one(offset: int, size: int) -> bytes:
        digest = hashlib.sha256()
        with file.open("rb", buffering=0) as source:
            source.seek(offset)
            block = memoryview(bytearray(_BLOCK_BYTES))
            while size and (count := source.readinto(block[:size])):
                digest.update(block[:count])
                size -= count
        return digest.digest()

    begun = time.monotonic()
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(lambda one: hash_one(one.offset_bytes, one.size_bytes), ranges))
    return time.monotonic() - begun


def _judge(figures: Mapping[str, Figures]) -> Iterator[Verdict | None]:
    yield judge(Target("wall_seconds", "s5cmd", 0.45), figures)
    own = figures[OURS].more
    again = own["sent again MiB"] / max(own["in flight MiB"], 1e-6)
    yield Verdict("sent again ≤ 1 × parts in flight", again, 1.0)
    for name, threads in (("hashing s", 1), ("hashing in threads s", _HASHING_THREADS)):
        ratio = own["first new byte s"] / max(own[name], 1e-9)
        yield Verdict(f"first new byte ≤ 1.2 × hashing in {threads}", ratio, 1.2)


def _parts(calls: list[Call]) -> list[Call]:
    return [call for call in calls if call.request.operation == "UploadPart"]


def _announced_bytes(call: Call) -> int:
    headers = call.request.headers
    return int(headers.get("x-amz-decoded-content-length") or headers.get("content-length", "0"))
