"""Memory, descriptors and bytes in flight stay bounded, whatever is transferred."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import resource
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.base.memory_limiter import MemoryLimiter
from orchestrator_cli.core.files.tree import NamedFile
from orchestrator_cli.core.s3.part_plan import Part, plan_parts
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.local_file import LocalFile
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks
from tests.support.commands.running import Argument, Processes, RunCommand
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.scene import Scene, write_tree
from tests.support.stored.engine import (
    MIB,
    PART,
    CountedBuffers,
    content,
    key_of,
    new_execution,
    open_store,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Of 320 MiB. Without load it is under 200; a busy machine lets more buffers pile up.
LIMIT = 256 * MIB
# Of 168 MiB. The parts of a stream are in buffers that are lent: none piles up.
STREAM_LIMIT = 128 * MIB
# The command, and then what the kernel says was the most that it ever had in memory.
_MEASURED = """
import os, sys
from orchestrator_cli.cli.main import main
try:
    main(sys.argv[1:])
finally:
    with open("/proc/self/status") as status:
        print(status.read(), "descriptors:", len(os.listdir("/proc/self/fd")), file=sys.stderr)
"""
COMMAND = (sys.executable, "-c", _MEASURED)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the peak of a process is read from Linux' /proc"
)


def measure(processes: Processes, *arguments: Argument, **options: Any) -> tuple[int, int]:
    """Run the command; return its peak memory in bytes, and its open descriptors at the end."""
    process = processes.start(*arguments, command=COMMAND, **options)
    _, err = process.communicate(timeout=100)
    text = err.decode()
    assert process.returncode == 0, text
    peak = re.search(r"VmHWM:\s+(\d+) kB", text)
    descriptors = re.search(r"descriptors: (\d+)", text)
    assert peak is not None
    assert descriptors is not None
    return int(peak[1]) * 1024, int(descriptors[1])


def test_a_long_stream_takes_bounded_memory(
    cli: RunCommand, cli_process: Processes, s3: S3Client, s3env: dict[str, str]
) -> None:
    size = 21 * PART
    execution = new_execution(cli)
    bucket, key = s3env["ORCHESTRATOR_BUCKET"], key_of("stdout.log", execution)
    # What a killed pipe left, if all but its eighth part got lost: it is looked for that far.
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=8, Body=bytes(PART))
    zeros = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
    with zeros:
        peak, _ = measure(
            cli_process, "upload", execution, "-", "--name", "logs/stdout.log", stdin=zeros.stdout
        )
    assert peak < STREAM_LIMIT, peak
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size


def test_large_files_take_bounded_memory_up_and_down(
    cli: RunCommand, cli_process: Processes, s3env: dict[str, str], tmp_path: Path
) -> None:
    """One of many parts, and many of one part: 320 MiB, at most 64 MiB of it in memory."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number:02}.bin").write_bytes(content(1000, number))
        os.truncate(tree / f"{number:02}.bin", PART)
    (tree / "big.bin").write_bytes(b"big")
    os.truncate(tree / "big.bin", 20 * PART)
    execution = new_execution(cli)
    peak, _ = measure(cli_process, "upload", execution, tree)
    assert peak < LIMIT, peak
    target = tmp_path / "out"
    peak, _ = measure(cli_process, "download", execution, "-o", target)
    assert peak < LIMIT, peak
    sizes = [path.stat().st_size for path in target.rglob("*.bin")]
    assert sorted(sizes) == [PART] * 20 + [20 * PART]


def test_what_failed_of_many_files_is_not_kept(scene: Scene) -> None:
    """An error holds the frames that it came through, and they the bytes of the file."""
    size, count = MIB // 4, 60
    tree = scene.write_tree({f"{n}.bin": content(size, n) for n in range(count)})
    plan = [
        PlannedFile(
            str(tree / f"{n}.bin"),
            f"artifacts/custom/{n}",
            key_of(str(n)),
            size,
            "text/plain",
            NamedFile(tree / f"{n}.bin"),
        )
        for n in range(count)
    ]
    scene.recorder.inject(faults.access_denied(), "PutObject", times=None)
    store = open_store(scene.bucket)
    tracemalloc.start()
    try:
        with TransferEngine(store.connection, 4) as engine:
            summary = Uploader(engine, DirectTarget(store), UploadHooks()).run(plan)
        gc.collect()
        assert len(summary.failures) == count
        assert tracemalloc.get_traced_memory()[0] < count * size / 2
    finally:
        tracemalloc.stop()


def test_fifteen_hundred_files_take_the_memory_and_descriptors_of_a_hundred(
    cli: RunCommand, cli_process: Processes, s3env: dict[str, str], tmp_path: Path
) -> None:
    few = write_tree(tmp_path / "few", {f"{n}.bin": content(4096, n) for n in range(100)})
    many = write_tree(
        tmp_path / "many",
        {f"{n % 10}/{n}.bin": n.to_bytes(4, "big") * 1024 for n in range(1500)},
    )
    execution = new_execution(cli)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    small, _ = measure(cli_process, "upload", execution, few, preexec_fn=limit)
    large, descriptors = measure(cli_process, "upload", execution, many, preexec_fn=limit)
    # The listing of what is there, and results that wait to be told: nothing else grows.
    assert large - small < 4 * MIB
    # Four a connection: its socket, a selector and a pipe that wakes it.
    assert descriptors < 112

    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as recorder:
        through = {"AWS_ENDPOINT_URL": recorder.endpoint_url}
        cli("upload", execution, many, "--include", "7/*", env=through).ok()
        # One page holds all keys of the directory, with each file's MD5.
        assert recorder.count("ListObjectsV2") == 1
        assert recorder.count("PutObject") == 0
        assert recorder.count("HeadObject") == 0

    arguments = ("download", execution, "*/7/*", "-o", tmp_path / "out")
    _, descriptors = measure(cli_process, *arguments, preexec_fn=limit)
    # Four a connection: its socket, a selector and a pipe that wakes it.
    assert descriptors < 112
    assert sum(1 for path in (tmp_path / "out").rglob("*.bin")) == 150


class RecordingBudget(MemoryLimiter):
    """A budget that remembers what is held, and the most that was at once."""

    def __init__(self, total_bytes: int) -> None:
        super().__init__(total_bytes)
        self.held = self.most = 0
        self._lock = threading.Lock()

    def acquire(self, size_bytes: int) -> int:
        taken = super().acquire(size_bytes)
        with self._lock:
            self.held += taken
            self.most = max(self.most, self.held)
        return taken

    def release(self, size_bytes: int) -> None:
        with self._lock:
            self.held -= size_bytes
        super().release(size_bytes)


class Watched(LocalFile):
    """A file that remembers the least of a budget that was held whenever it was read."""

    def __init__(self, path: Path, budget: RecordingBudget) -> None:
        super().__init__(NamedFile(path), path)
        self.least_held = budget.total_bytes
        self._budget = budget

    def _look(self) -> None:
        self.least_held = min(self.least_held, self._budget.held)

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        self._look()
        return super().read_at(offset_bytes, size_bytes)

    def read_into(self, buffer: bytearray, offset_bytes: int, size_bytes: int) -> memoryview:
        self._look()
        return super().read_into(buffer, offset_bytes, size_bytes)


@pytest.mark.parametrize("part_bytes", [PART, 2 * PART])
def test_bytes_in_memory_are_bounded_by_the_budget(
    part_bytes: int, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    """Parts too large for memory are read in steps, and are few at once like the others."""
    path = tmp_path / "big.bin"
    path.write_bytes(content(8 * PART))
    budget = RecordingBudget(2 * PART)
    store, key = open_store(bucket), key_of("big.bin")
    with (
        TransferEngine(store.connection, 16, memory=budget) as engine,
        Watched(path, budget) as source,
    ):
        engine.buffers = buffers = CountedBuffers(PART)
        upload = MultipartUploader(engine, DirectTarget(store), source, key, "text/plain")
        plan = plan_parts(8 * PART, f"fixed-{part_bytes}")
        upload.plan = {part.number: part for part in plan}
        upload.run()
    assert recorder.count("UploadPart") == 8 * PART // part_bytes
    assert budget.most == 2 * PART
    assert source.least_held >= PART
    assert buffers.made <= 2
    # All of it has been given back, once.
    assert budget.held == 0


def test_the_buffers_of_small_parts_are_given_back_where_parts_have_grown(
    scene: Scene, tmp_path: Path
) -> None:
    """Those of a file of 50 GiB would stay beside what its larger parts take."""
    path = tmp_path / "big.bin"
    path.write_bytes(content(12 * PART))
    sizes = [PART] * 4 + [2 * PART] * 4
    plan = [Part(n + 1, sum(sizes[:n]), size) for n, size in enumerate(sizes)]
    store = open_store(scene.bucket)
    with (
        TransferEngine(store.connection, 16, memory=MemoryLimiter(2 * PART)) as engine,
        LocalFile(NamedFile(path), path) as source,
    ):
        engine.buffers = buffers = CountedBuffers(PART)
        key = key_of("big.bin")
        upload = MultipartUploader(engine, DirectTarget(store), source, key, "text/plain")
        upload.plan = {part.number: part for part in plan}
        upload.run()
        made = buffers.made
        buffers.get()
    assert scene.recorder.count("UploadPart") == 8
    # None was left that could be lent once more.
    assert 0 < made < buffers.made


def test_stored_parts_are_hashed_without_the_buffers_that_are_sent_from(
    recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    """The first part of each file is hashed beside all that the budget counts."""
    path = tmp_path / "big.bin"
    path.write_bytes(content(4 * PART))
    recorder.inject(faults.access_denied(), "CompleteMultipartUpload")
    store, made = open_store(bucket), list[int]()
    for _ in range(2):
        with (
            contextlib.suppress(AccessError),
            TransferEngine(store.connection, 16) as engine,
            LocalFile(NamedFile(path), path) as source,
        ):
            engine.buffers = buffers = CountedBuffers(PART)
            key = key_of("big.bin")
            MultipartUploader(engine, DirectTarget(store), source, key, "text/plain").run()
        made.append(buffers.made)
    assert recorder.count("UploadPart") == 4
    assert made[0] > 0
    assert made[1] == 0
