"""The store: three outcomes of a write and no fourth, whatever happens on the way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    InterruptedByUser,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.http.rate_limiter import RateLimiter
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import md5, sha256
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.operations.multipart import (
    PartDigests,
    create_multipart_upload,
    upload_part,
)
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import PutOutcome
from tests.support.proxy import faults
from tests.support.proxy.faults import Fault
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.servers.scripted import Peer, scripted
from tests.support.stored.engine import PATIENCE_SECONDS, content, key_of, open_store, set_patience

KEY = key_of("a.txt")
DATA = content(300_000)
OTHER = content(300_000, seed=1)
TEXT = "text/plain; charset=utf-8"


@pytest.fixture(params=["unverified", "verified"])
def store(scene: Scene, request: pytest.FixtureRequest) -> ArtifactStore:
    """A store that has found its server to verify SHA-256 on arrival, or not to."""
    opened = open_store(scene.bucket)
    opened.server.checks_sha256 = request.param == "verified"
    return opened


# --- three outcomes ----------------------------------------------------------------------


def test_a_free_key_is_created(scene: Scene, store: ArtifactStore) -> None:
    outcome, checksum = store.put_if_absent(KEY, DATA, TEXT)
    assert outcome is PutOutcome.CREATED
    assert str(checksum) == f"sha256:{sha256(DATA).hex()}"
    head = scene.s3.head_object(Bucket=scene.bucket, Key=KEY)
    assert head["ContentType"] == TEXT
    assert {name.lower(): value for name, value in head["Metadata"].items()} == {
        "sha256": checksum.hex_digest
    }
    assert scene.contents() == {KEY: DATA}
    assert scene.recorder.request_bytes("PutObject") == len(DATA)
    sent = scene.recorder.calls("PutObject")[0].request.headers
    assert sent["if-none-match"] == "*"
    assert "x-amz-checksum-sha256" in sent


def test_the_same_bytes_are_identical_and_not_sent(store: ArtifactStore, recorder: Proxy) -> None:
    store.put_if_absent(KEY, DATA, TEXT)
    recorder.clear()
    outcome, _ = store.put_if_absent(KEY, DATA, "application/json")
    assert outcome is PutOutcome.IDENTICAL
    assert recorder.count("PutObject") == 0
    assert recorder.request_bytes() == 0


def test_other_bytes_are_a_conflict_and_change_nothing(scene: Scene, store: ArtifactStore) -> None:
    store.put_if_absent(KEY, DATA, TEXT)
    before = scene.s3.head_object(Bucket=scene.bucket, Key=KEY)
    for other in (OTHER, DATA[:-1], DATA + b"x", b""):
        assert store.put_if_absent(KEY, other, TEXT)[0] is PutOutcome.CONFLICT
        # Nor where somebody was first between looking and writing.
        assert store.put_if_absent(KEY, other, TEXT, listed_etag="")[0] is PutOutcome.CONFLICT
    after = scene.s3.head_object(Bucket=scene.bucket, Key=KEY)
    assert (after["LastModified"], after["ETag"]) == (before["LastModified"], before["ETag"])
    assert scene.contents() == {KEY: DATA}


def test_a_listing_that_has_become_stale_costs_a_look_up(
    store: ArtifactStore, recorder: Proxy
) -> None:
    store.put_if_absent(KEY, DATA, TEXT)
    assert store.put_if_absent(KEY, DATA, TEXT, listed_etag="")[0] is PutOutcome.IDENTICAL
    assert (
        store.put_if_absent(key_of("b.txt"), DATA, TEXT, listed_etag="unknown")[0]
        is PutOutcome.CREATED
    )


def test_an_object_of_another_tool_is_compared_by_its_etag(
    scene: Scene, store: ArtifactStore
) -> None:
    scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=DATA)
    assert store.put_if_absent(KEY, DATA, TEXT)[0] is PutOutcome.IDENTICAL
    assert store.put_if_absent(KEY, OTHER, TEXT)[0] is PutOutcome.CONFLICT
    assert scene.recorder.response_bytes("GetObject") == 0


@pytest.mark.parametrize(("size", "puts"), [(1000, 1), (100_000, 0)])
def test_on_aws_a_body_is_not_sent_for_nothing(
    size: int,
    puts: int,
    store: ArtifactStore,
    recorder: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A re-run must not send 2,000 files again to be told that each is there."""
    assert store.session.client_options  # made for this server's address, not for AWS's
    monkeypatch.setattr(S3Session, "is_aws", True)
    data = content(size)
    assert store.put_if_absent(KEY, data, TEXT)[0] is PutOutcome.CREATED
    recorder.clear()
    assert store.put_if_absent(KEY, data, TEXT, listed_etag="unknown")[0] is PutOutcome.IDENTICAL
    assert recorder.count("PutObject") == 0
    # Where no listing has told, a look-up pays for all but the smallest bodies.
    assert store.put_if_absent(KEY, data, TEXT)[0] is PutOutcome.IDENTICAL
    assert recorder.count("PutObject") == puts


# --- what can pass -----------------------------------------------------------------------

PASSING: dict[str, Callable[[], Fault]] = {
    "500": faults.internal_error,
    "503": faults.slow_down,
    "408": faults.request_timeout,
    "429": faults.too_many_requests,
    "409": lambda: faults.Answer(409, "ConditionalRequestConflict"),
    "400 BadDigest": lambda: faults.Answer(400, "BadDigest"),
    "reset before the body": faults.ResetBefore,
    "reset inside the body": lambda: faults.ResetInside(100_000),
    "reset after the body": faults.ResetAfter,
}


def test_what_can_pass_is_sent_again_with_its_whole_body(
    scene: Scene, store: ArtifactStore
) -> None:
    for name, fault in PASSING.items():
        rule = scene.recorder.inject(fault(), "PutObject", key=f"{name}$", times=2)
        key = key_of(name)
        assert store.put_if_absent(key, DATA, TEXT)[0] is PutOutcome.CREATED, name
        assert rule.struck == 2, name
        assert scene.recorder.count("PutObject", key) == 3, name
        assert scene.recorder.calls("PutObject", key)[-1].request_bytes == len(DATA), name
    assert scene.contents() == {key_of(name): DATA for name in PASSING}


def test_a_look_up_that_can_pass_is_repeated(scene: Scene) -> None:
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, DATA, TEXT)
    for name in ("500", "503", "429", "reset before the body"):
        rule = scene.recorder.inject(PASSING[name](), "HeadObject")
        assert store.put_if_absent(KEY, DATA, TEXT)[0] is PutOutcome.IDENTICAL, name
        assert rule.struck == 1, name


def test_a_lost_answer_is_our_own_write(scene: Scene, store: ArtifactStore) -> None:
    scene.recorder.inject(faults.DropAnswer(), "PutObject")
    outcome, _ = store.put_if_absent(KEY, DATA, TEXT)
    assert outcome is PutOutcome.IDENTICAL
    first, second = scene.recorder.calls("PutObject")
    assert (first.server_status, first.status) == (200, None)
    assert second.status == 412
    assert scene.contents() == {KEY: DATA}


def test_a_key_that_vanishes_after_a_412_is_created(store: ArtifactStore, recorder: Proxy) -> None:
    recorder.inject(faults.Answer(412, "PreconditionFailed"), "PutObject")
    assert store.put_if_absent(KEY, DATA, TEXT)[0] is PutOutcome.CREATED
    assert recorder.count("PutObject") == 2


def test_a_paced_body_is_sent_again_from_its_start(scene: Scene) -> None:
    store = open_store(scene.bucket, pace=RateLimiter(1 << 40))
    scene.recorder.inject(faults.ResetInside(200_000), "PutObject", times=2)
    assert store.put_if_absent(KEY, DATA, TEXT)[0] is PutOutcome.CREATED
    assert scene.recorder.calls("PutObject")[-1].request_bytes == len(DATA)


def test_a_paced_body_waits_once_for_each_byte(scene: Scene) -> None:
    """Signing must not read the body through the limit as well: half the rate would be left."""
    reserved: list[int] = []

    class Noting(RateLimiter):
        def reserve(self, size_bytes: int, /) -> float:
            reserved.append(size_bytes)
            return 0.0

    open_store(scene.bucket, pace=Noting(1)).put_if_absent(KEY, DATA, TEXT)
    assert sum(reserved) == len(DATA)


# --- what cannot -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (faults.access_denied, "doctor"),
        (faults.wrong_credentials, "credentials"),
        (lambda: faults.Answer(403, "RequestTimeTooSkewed"), "clock"),
    ],
)
def test_a_refusal_is_final(
    fault: Callable[[], Fault], hint: str, store: ArtifactStore, recorder: Proxy
) -> None:
    recorder.inject(fault(), "PutObject", times=None)
    with pytest.raises(AccessError) as caught:
        store.put_if_absent(KEY, DATA, TEXT)
    assert recorder.count("PutObject") == 1
    assert caught.value.exit_code == 5
    assert caught.value.request_id == "FAULT0000000001"
    assert hint in str(caught.value.hint)


def test_retries_end(scene: Scene, store: ArtifactStore) -> None:
    scene.recorder.inject(faults.internal_error(), "PutObject", times=None)
    with pytest.raises(UnavailableError) as caught:
        store.put_if_absent(KEY, DATA, TEXT)
    assert scene.recorder.count("PutObject") == store.retry.attempts
    assert caught.value.exit_code == 9
    assert "InternalError" in caught.value.message
    # It is this object's failure, and no reason to give the others up.
    assert not caught.value.is_fatal
    assert scene.contents() == {}


def test_a_server_that_asks_for_less_is_asked_again_while_patience_lasts(
    scene: Scene, store: ArtifactStore
) -> None:
    many = 3 * store.retry.attempts
    busy = scene.recorder.inject(faults.slow_down(), "PutObject", times=many)
    # So much that no load of this machine uses it up.
    set_patience(store, 60)
    assert store.put_if_absent(KEY, DATA, TEXT)[0] is PutOutcome.CREATED
    assert busy.struck == many
    set_patience(store, PATIENCE_SECONDS)
    scene.recorder.inject(faults.slow_down(), "PutObject", times=None)
    with pytest.raises(UnavailableError, match="SlowDown"):
        store.put_if_absent(key_of("b.txt"), DATA, TEXT, listed_etag="")
    scene.recorder.heal()
    assert list(scene.contents()) == [KEY]


def test_where_nobody_listens_it_retries_and_is_unavailable(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    retried: list[OrchestratorError] = []
    store = open_store(bucket, on_retry=retried.append)
    with pytest.raises(UnavailableError, match="connection refused") as caught:
        store.put_if_absent(KEY, DATA, TEXT)
    assert caught.value.exit_code == 9
    assert len(retried) == store.retry.attempts - 1


def test_a_missing_bucket_is_not_found(recorder: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="no such bucket") as caught:
        open_store("there-is-no-such-bucket").put_if_absent(KEY, DATA, TEXT)
    assert caught.value.exit_code == 4


def test_damage_on_the_way_is_noticed(scene: Scene) -> None:
    """The sandbox's server verifies nothing on arrival, and so only its ETag tells."""
    scene.recorder.inject(faults.CorruptRequest(1234), "PutObject")
    with pytest.raises(IntegrityError) as caught:
        open_store(scene.bucket).put_if_absent(KEY, DATA, TEXT)
    assert caught.value.exit_code == 7


def test_stopping_ends_the_waiting_for_the_next_attempt(scene: Scene) -> None:
    stopping: list[ArtifactStore] = []
    stopping.append(open_store(scene.bucket, on_retry=lambda error: stopping[0].retry.stop.set()))
    scene.recorder.inject(faults.slow_down(), "PutObject", times=None)
    with pytest.raises(InterruptedByUser):
        stopping[0].put_if_absent(KEY, DATA, TEXT)
    assert scene.recorder.count("PutObject") == 1
    with pytest.raises(InterruptedByUser):
        stopping[0].head(KEY)


def test_what_answers_anything_with_a_page_has_stored_nothing(
    scene: Scene, store: ArtifactStore
) -> None:
    rule = scene.recorder.inject(faults.LoginPage(), "PutObject", times=None)
    with pytest.raises(UnavailableError, match="what answered is not S3") as caught:
        store.put_if_absent(KEY, DATA, TEXT, listed_etag="")
    assert caught.value.exit_code == 9
    assert rule.struck == store.retry.attempts
    scene.recorder.heal()
    assert scene.contents() == {}
    scene.recorder.inject(faults.LoginPage(), "PutObject")
    assert store.put_if_absent(KEY, DATA, TEXT, listed_etag="")[0] is PutOutcome.CREATED
    scene.recorder.inject(faults.LoginPage(), "PutObject", times=None)
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        store.compare_and_swap(KEY, b"two", store.get(KEY).etag, TEXT)


def test_nor_has_it_a_part(store: ArtifactStore, recorder: Proxy) -> None:
    upload_id = store.run(create_multipart_upload(KEY, TEXT, "8M"))
    part, digests = Part(1, 0, len(DATA)), PartDigests(sha256(DATA), md5(DATA))
    recorder.inject(faults.LoginPage(), "UploadPart", times=2)
    stored = store.run(upload_part(store.server, KEY, upload_id, part, DATA, digests))
    assert stored.etag == md5(DATA).hex()
    assert recorder.count("UploadPart") == 3


LOOKED_UP = (
    "Content-Length: 5",
    "Last-Modified: Mon, 02 Feb 2026 10:00:00 GMT",
    f'ETag: "{md5(DATA).hex()}"',
)


@pytest.mark.parametrize(
    "told",
    [
        (LOOKED_UP[0], LOOKED_UP[2]),
        LOOKED_UP[1:],
        (LOOKED_UP[0], "Last-Modified: yesterday", LOOKED_UP[2]),
        LOOKED_UP[:2],
        # What a web server gives to a page.
        (*LOOKED_UP[:2], 'ETag: "66fb-264"'),
    ],
)
def test_a_look_up_that_lacks_what_every_s3_says_is_not_believed(
    told: tuple[str, ...], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a size, which what compresses on the way leaves out: no object is empty by that."""

    def serve(peer: Peer) -> None:
        for lines in (told, LOOKED_UP, told):
            peer.request()
            peer.send("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1"))

    with scripted(serve) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert open_store(bucket).head(KEY).size_bytes == 5
        with pytest.raises(UnavailableError, match="what answered is not S3"):
            open_store(bucket, attempts=1).head(KEY)


# --- look-ups, whose refusals have no body -----------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (faults.wrong_credentials, "InvalidAccessKeyId", "does not know the access key"),
        (faults.expired_token, "ExpiredToken", "have expired"),
        (faults.access_denied, "AccessDenied", "access denied"),
    ],
)
def test_why_a_look_up_was_refused_is_asked(
    scene: Scene, fault: Callable[[], Fault], code: str, words: str
) -> None:
    scene.recorder.inject(fault(), times=None)
    with pytest.raises(AccessError, match=words) as caught:
        open_store(scene.bucket).head(KEY)
    assert caught.value.code == code
    assert caught.value.request_id == "FAULT0000000001"
    assert scene.recorder.operations() == {"HeadObject": 1, "GetObject": 1}
    assert scene.recorder.calls("GetObject")[0].request.headers["range"] == "bytes=0-0"


@pytest.mark.parametrize("data", [DATA, b""])
def test_a_look_up_that_is_refused_while_reading_is_not_is_repeated(
    scene: Scene, data: bytes
) -> None:
    """As where another thread has refreshed what had expired."""
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, data, TEXT)
    scene.recorder.clear()
    scene.recorder.inject(faults.Answer(400, "ExpiredToken"), "HeadObject")
    assert store.head(KEY).size_bytes == len(data)
    assert scene.recorder.operations() == {"HeadObject": 2, "GetObject": 1}


# --- compare-and-swap --------------------------------------------------------------------


def test_a_swap_fails_once_the_object_has_changed(scene: Scene) -> None:
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, b"one", TEXT)
    etag = store.get(KEY).etag
    store.compare_and_swap(KEY, b"two", etag, TEXT)
    with pytest.raises(ConflictError):
        store.compare_and_swap(KEY, b"three", etag, TEXT)
    assert store.get(KEY).content == b"two"


def test_a_lost_answer_of_a_swap_is_told_by_reading_again(scene: Scene) -> None:
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, b"one", TEXT)
    etag = store.get(KEY).etag
    scene.recorder.inject(faults.DropAnswer(), "PutObject")
    with pytest.raises(ConflictError):
        store.compare_and_swap(KEY, b"two", etag, TEXT)
    assert store.get(KEY).content == b"two"


# --- reading -----------------------------------------------------------------------------


def test_a_range_is_read_and_read_again_where_it_is_cut_short(scene: Scene) -> None:
    store = open_store(scene.bucket)
    store.put_if_absent(KEY, DATA, TEXT)
    assert bytes(store.get_range(KEY, 1000, 50)) == DATA[1000:1050]
    assert bytes(store.get_range(KEY, len(DATA) - 10, 50)) == DATA[-10:]
    scene.recorder.clear()
    scene.recorder.inject(faults.TruncateAnswer(1000), "GetObject")
    assert bytes(store.get_range(KEY, 0, len(DATA))) == DATA
    assert scene.recorder.count("GetObject") == 2


def test_foreign_keys_do_not_stop_a_listing(scene: Scene) -> None:
    keys = [f"executions//{name}" for name in ("a", "b//c", "./d", "../e", "f/")]
    for key in keys:
        scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"")
    listed = [found.key for found in open_store(scene.bucket).list_objects("executions/")]
    assert listed == sorted(keys)


# --- session -----------------------------------------------------------------------------


def test_clients_are_made_once_by_many_threads(s3env: dict[str, str]) -> None:
    session = S3Session(S3Settings(s3env["ORCHESTRATOR_BUCKET"], environment=s3env))
    start = threading.Barrier(12)

    def ask(number: int) -> object:
        start.wait()
        return session.connection.transport if number % 2 else session.boto

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(12)))
    assert len({id(answer) for answer in answers}) == 2


@pytest.mark.parametrize("echoes", [True, False])
def test_a_swap_shows_whether_what_follows_needs_an_md5(
    echoes: bool, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is swapped before the files of an upload are sent."""

    def serve(peer: Peer) -> None:
        for _ in range(2):
            told = f"x-amz-checksum-sha256: {peer.request().header('x-amz-checksum-sha256')}"
            lines = [f'ETag: "{"0" * 32}"', "Content-Length: 0", *([told] if echoes else [])]
            peer.send("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode())

    with scripted(serve) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        store = open_store(bucket)
        for _ in range(2):
            store.compare_and_swap(KEY, DATA, '"etag"', TEXT)
    needed = [one.header("content-md5") is not None for one in server.requests]
    assert needed == [True, not echoes]
