"""Several at once: processes on one tree, threads on one key, failures while others work."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import AccessError, InterruptedByUser
from orchestrator_cli.core.base.memory_limiter import MemoryLimiter, MemoryReservation
from orchestrator_cli.core.files.tree import NamedFile
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import IN_FLIGHT_BYTES, TransferEngine
from orchestrator_cli.core.transfer.part_threads import FutureGroup
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from orchestrator_cli.core.transfer.upload.parts.stream_upload import StreamUpload
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import CountedBuffers, content, key_of, open_store
from tests.support.stored.local_files import local_file

pytestmark = pytest.mark.usefixtures("small_parts")

KEY = key_of("a.bin")
TEXT = "text/plain; charset=utf-8"


def at_once(work: Callable[[int], Any], threads: int) -> list[Any]:
    """Run work in so many threads that all begin at the same moment."""
    start = threading.Barrier(threads)

    def begin(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


# --- memory ------------------------------------------------------------------------------


def store_with_two_buffers(bucket: str, path: Path) -> tuple[CountedBuffers, PutOutcome]:
    """Upload a file with room for two parts in memory."""
    store = open_store(bucket)
    engine = TransferEngine(store.connection, 8, memory=MemoryLimiter(2 * PART))
    engine.buffers = buffers = CountedBuffers(PART)
    with engine, local_file(path) as source:
        outcome, _ = MultipartUploader(engine, DirectTarget(store), source, KEY, TEXT).run()
    return buffers, outcome


def test_a_part_that_waits_for_its_answer_makes_room(scene: Scene) -> None:
    path = scene.directory / "a.bin"
    path.write_bytes(content(5 * PART))
    held = faults.Hold("answer")
    scene.recorder.inject(held, "UploadPart", times=None)
    with ThreadPoolExecutor(1) as pool:
        storing = pool.submit(store_with_two_buffers, scene.bucket, path)
        try:
            # None has been answered yet.
            scene.recorder.wait_for(
                lambda all_of_them: (
                    sum(one.request_bytes for one in all_of_them if one.operation == "UploadPart")
                    == 5 * PART
                )
            )
        finally:
            held.released.set()
        buffers, outcome = storing.result()
    assert outcome is PutOutcome.CREATED
    assert buffers.made <= 2
    assert scene.s3.get_object(Bucket=scene.bucket, Key=KEY)["Body"].read() == path.read_bytes()


def test_a_part_that_is_sent_again_is_read_again(scene: Scene) -> None:
    """Its buffer has served another part by then."""
    path = scene.directory / "a.bin"
    path.write_bytes(content(5 * PART))
    scene.recorder.inject(faults.DropAnswer(), "UploadPart", times=5)
    buffers, outcome = store_with_two_buffers(scene.bucket, path)
    assert outcome is PutOutcome.CREATED
    assert scene.recorder.count("UploadPart") == 10
    assert buffers.made <= 2
    assert scene.s3.get_object(Bucket=scene.bucket, Key=KEY)["Body"].read() == path.read_bytes()


# --- processes ---------------------------------------------------------------------------


def test_two_processes_on_one_tree_store_each_file_once(scene: Scene, forks: ForkServer) -> None:
    files = {f"d{number % 3}/{number:03}.txt": content(number, number) for number in range(150)}
    files |= {f"{number}.bin": content(2 * PART + number, number) for number in range(2)}
    tree = scene.write_tree(files)
    execution = scene.new_execution()
    scene.recorder.clear()
    running = [forks.start("upload", execution, tree, "--json") for _ in range(2)]
    told: Counter[str] = Counter()
    for child in running:
        records = child.wait(90).ok().json_lines()
        told.update(one["key"] for one in records if one["outcome"] == "created")
    prefix = f"executions/{execution}/artifacts/custom/"
    assert scene.contents(prefix) == {prefix + n: data for n, data in files.items()}
    # Each object came into being once.
    created = Counter(
        one.key for one in scene.recorder.calls("PutObject") if one.server_status == 200
    )
    assert {key: n for key, n in created.items() if n > 1 and key.startswith(prefix)} == {}
    # Two may complete the same upload, and S3 answers both that it is done.
    assert told.keys() == {prefix + name for name in files}
    assert {key for key, n in told.items() if n > 1 and not key.endswith(".bin")} == set()
    assert scene.unfinished_uploads() == {}


# --- one key -----------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("size", [1000, 2 * PART + 1], ids=["small", "large"])
def test_of_many_writers_of_one_key_one_content_wins_whole(
    scene: Scene, same: bool, size: int
) -> None:
    """Exactly one content wins, whole; who has other content learns of it."""
    count = 6
    contents = [content(size, 0 if same else number) for number in range(count)]
    paths = [scene.directory / str(number) for number in range(count)]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    stores = [open_store(scene.bucket) for _ in range(count)]

    def upload(number: int) -> PutOutcome:
        if size <= PART:
            return stores[number].put_if_absent(KEY, contents[number], TEXT)[0]
        target = DirectTarget(stores[number])
        with (
            TransferEngine(stores[number].connection, 2) as engine,
            local_file(paths[number]) as source,
        ):
            return MultipartUploader(engine, target, source, KEY, TEXT).run()[0]

    outcomes = at_once(upload, count)
    stored = scene.contents()[KEY]
    for outcome, data in zip(outcomes, contents, strict=True):
        expected = (
            {PutOutcome.CREATED, PutOutcome.IDENTICAL} if data == stored else {PutOutcome.CONFLICT}
        )
        assert outcome in expected
    # Who finds another one's unfinished upload of the same content may complete it along with him.
    may_share = same and size > PART
    assert 1 <= outcomes.count(PutOutcome.CREATED) <= (count if may_share else 1)
    assert stored in contents


def test_streams_and_files_of_one_key_make_one_object(scene: Scene) -> None:
    data = content(2 * PART + 1)
    path = scene.directory / "a.bin"
    path.write_bytes(data)
    stores = [open_store(scene.bucket) for _ in range(4)]

    def upload(number: int) -> PutOutcome:
        target = DirectTarget(stores[number])
        with TransferEngine(stores[number].connection, 2) as engine, local_file(path) as source:
            if number % 2:
                return StreamUpload(engine, target, KEY, TEXT).run(io.BytesIO(data))[0]
            return MultipartUploader(engine, target, source, KEY, TEXT).run()[0]

    outcomes = at_once(upload, 4)
    assert set(outcomes) <= {PutOutcome.CREATED, PutOutcome.IDENTICAL}
    assert scene.contents() == {KEY: data}


# --- threads, failures, interruptions ----------------------------------------------------


def test_work_that_was_dropped_does_not_keep_others_waiting(bucket: str) -> None:
    """`concurrent.futures.wait` would wait forever for what was cancelled in the queue."""
    memory = MemoryLimiter(IN_FLIGHT_BYTES)
    engine = TransferEngine(open_store(bucket).connection, 1, memory=memory)
    inside, leave = threading.Event(), threading.Event()

    def block(number: int, _: MemoryReservation) -> None:
        inside.set()
        leave.wait(30)

    waiting = engine.run_file(lambda: engine.parts.map(range(3), lambda number: 1, block))
    inside.wait(30)
    with pytest.raises(AccessError), engine:
        raise AccessError("another file failed")
    leave.set()
    with pytest.raises((CancelledError, InterruptedByUser)):
        waiting.result(30)
    assert memory.acquire(IN_FLIGHT_BYTES) == IN_FLIGHT_BYTES


def test_a_store_serves_the_next_transfers_after_a_failure(bucket: str) -> None:
    store = open_store(bucket)
    waits, ended = threading.Event(), threading.Event()

    def wait_long(_: MemoryReservation) -> None:
        waits.set()
        try:
            store.retry.wait(600)
        except InterruptedByUser:
            ended.set()
            raise

    failed, other = TransferEngine(store.connection, 2), TransferEngine(store.connection, 2)
    waiting = other.parts.submit(1, lambda _: store.retry.wait(1e-3))
    failed.parts.submit(1, wait_long)
    assert waits.wait(60)
    with pytest.raises(AccessError), failed:
        raise AccessError("another file failed")
    assert ended.wait(60)  # not after the ten minutes
    with pytest.raises(InterruptedByUser):
        failed.parts.submit(1, lambda _: None)
    with other:
        waiting.result(60)
        created = other.parts.submit(1, lambda _: store.put_if_absent(KEY, b"x", TEXT)[0])
        assert created.result(60) == "created"
    assert store.head(KEY).size_bytes == 1


def test_stopping_the_store_stops_its_transfers(bucket: str) -> None:
    store = open_store(bucket)
    with TransferEngine(store.connection, 2) as engine:
        waiting = engine.parts.submit(1, lambda _: store.retry.wait(600))
        store.retry.stop.set()
        with pytest.raises(InterruptedByUser):
            waiting.result(60)
    with pytest.raises(InterruptedByUser):
        TransferEngine(store.connection, 2).parts.submit(1, lambda _: None)


def test_the_first_failure_is_raised_while_others_work(bucket: str) -> None:
    engine = TransferEngine(open_store(bucket).connection, 4)
    leave = threading.Event()

    def work(number: int, _: MemoryReservation) -> None:
        if number == 2:
            raise AccessError("no")
        leave.wait(30)

    try:
        with engine:
            with pytest.raises(AccessError):
                engine.parts.map(range(4), lambda number: 1, work)
            assert not leave.is_set()
            leave.set()
    finally:
        leave.set()


def test_what_waits_behind_a_failure_is_dropped(bucket: str) -> None:
    done: list[int] = []

    def work(number: int, _: MemoryReservation) -> None:
        done.append(number)
        raise AccessError("no")

    with TransferEngine(open_store(bucket).connection, 1) as engine:
        with pytest.raises(AccessError):
            engine.parts.map(range(100), lambda number: 1, work)
        assert engine.parts.map(range(3), lambda number: 1, lambda number, _: number) == [
            0,
            1,
            2,
        ]
    assert len(done) < 100


def test_answers_come_in_order(bucket: str) -> None:
    turn = [threading.Event() for _ in range(4)]
    turn[3].set()

    def work(number: int, _: MemoryReservation) -> int:
        assert turn[number].wait(30)
        if number:
            turn[number - 1].set()
        return number

    with TransferEngine(open_store(bucket).connection, 4) as engine:
        assert engine.parts.map(range(4), lambda number: 1, work) == [0, 1, 2, 3]


def test_results_are_taken_as_soon_as_they_are_there(bucket: str) -> None:
    """A failure that concerns all files must not wait until 256 of them have been started."""
    started: list[int] = []

    def futures() -> Any:
        for number in range(100):
            started.append(number)
            future: Future[int] = Future()
            if number == 3:
                future.set_exception(AccessError("no"))
            yield future

    engine = TransferEngine(open_store(bucket).connection, 1)
    with engine, pytest.raises(AccessError):
        list(engine.parts.as_completed(futures()))
    assert started == [0, 1, 2, 3]


def test_a_group_raises_at_the_next_look() -> None:
    group: FutureGroup[int] = FutureGroup()
    futures: list[Future[int]] = [Future() for _ in range(3)]
    for future in futures:
        group.add(future)
    group.check()
    futures[0].set_result(0)
    group.check()
    futures[2].set_exception(AccessError("no"))
    with pytest.raises(AccessError):
        group.check()
    group.cancel()
    assert futures[1].cancelled()
    group.wait()


def test_the_budget_bounds_what_is_in_flight() -> None:
    budget = MemoryLimiter(100)
    lock = threading.Lock()
    held, most = 0, 0

    def work(number: int) -> None:
        nonlocal held, most
        for size in (1, 30, 70, 100, 250):
            taken = budget.acquire(size)
            with lock:
                held += taken
                most = max(most, held)
            with lock:
                held -= taken
            budget.release(taken)

    at_once(work, 8)
    assert held == 0
    assert most <= 100
    assert budget.acquire(100) == 100


@pytest.mark.parametrize("size", [1000, PART, 2 * PART + 1])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_failure_gives_its_budget_back(scene: Scene, size: int, concurrency: int) -> None:
    for number in range(5):
        (scene.directory / str(number)).write_bytes(content(size, number))
    plan = [
        PlannedFile(
            str(scene.directory / str(n)),
            f"artifacts/custom/{n}",
            key_of(str(n)),
            size,
            TEXT,
            NamedFile(scene.directory / str(n)),
        )
        for n in range(5)
    ]
    scene.recorder.inject(faults.access_denied(), "PutObject", nth=2, times=None)
    scene.recorder.inject(faults.access_denied(), "UploadPart", nth=2, times=None)
    memory = MemoryLimiter(IN_FLIGHT_BYTES)
    store = open_store(scene.bucket)
    with TransferEngine(store.connection, concurrency, memory=memory) as engine:
        summary = Uploader(engine, DirectTarget(store), UploadHooks()).run(plan)
    # The others are not stopped by it, and it gives back what it held.
    assert summary.failures
    assert all(isinstance(result.error, AccessError) for result in summary.failures)
    taken = memory.acquire(IN_FLIGHT_BYTES)  # waits for what was under way, no longer
    assert taken == IN_FLIGHT_BYTES


def test_results_come_from_one_thread(scene: Scene) -> None:
    for number in range(40):
        (scene.directory / str(number)).write_bytes(b"x" * number)
    plan = [
        PlannedFile(
            str(scene.directory / str(n)),
            f"artifacts/custom/{n}",
            key_of(str(n)),
            n,
            TEXT,
            NamedFile(scene.directory / str(n)),
        )
        for n in range(40)
    ]
    seen: list[tuple[threading.Thread, UploadResult]] = []
    store = open_store(scene.bucket)
    with TransferEngine(store.connection, 8) as engine:
        summary = Uploader(
            engine,
            DirectTarget(store),
            UploadHooks(lambda result: seen.append((threading.current_thread(), result))),
        ).run(plan)
    assert {thread for thread, _ in seen} == {threading.current_thread()}
    assert {result.path for _, result in seen} == {item.path for item in plan}
    assert summary.created == 40
    assert summary.sent_bytes == summary.stored_bytes == sum(range(40))


def test_one_path_from_two_roots_is_stored_once(scene: Scene) -> None:
    """Both are planned before either is stored: the listing tells of neither."""
    common = {f"{number}.txt": b"x" for number in range(40)}
    one = scene.write_tree(common | {"same.txt": b"same", "other.txt": b"one"}, root="one")
    two = scene.write_tree({"same.txt": b"same", "other.txt": b"two"}, root="two")
    execution = scene.new_execution()
    scene.cli("upload", execution, one, two).expect(6)
    prefix = f"executions/{execution}/artifacts/custom/"
    stored = scene.contents(prefix)
    assert stored[f"{prefix}same.txt"] == b"same"
    assert stored[f"{prefix}other.txt"] in (b"one", b"two")
