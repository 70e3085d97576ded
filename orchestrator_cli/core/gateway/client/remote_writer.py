"""What the engine asks of a store, asked of an `orchestrator serve`: it has the credentials.

The server answers with signed URLs; bodies go straight to the storage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    OrchestratorError,
)
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.batcher import Window
from orchestrator_cli.core.gateway.client.remote_execution import (
    FileAnswer,
    FoundParts,
    RemoteExecution,
)
from orchestrator_cli.core.gateway.messages import SignedPut
from orchestrator_cli.core.http.transport import Task
from orchestrator_cli.core.s3.bucket.multipart import PartDigests
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore, verify_etag
from orchestrator_cli.core.s3.checksum import (
    BytesReader,
    RandomAccessReader,
    md5,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.compare import StoredChecksum, content_equals
from orchestrator_cli.core.s3.connection.session import USER_AGENT, S3Session
from orchestrator_cli.core.s3.operations.request import Operation, S3Response
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.loop import CurlLoop

T = TypeVar("T")
_CREATE_ATTEMPTS = 5


class RemoteWriter(ArtifactStore):
    """What the engine asks of a store, asked of the server. Keys are those of one execution."""

    def __init__(self, execution: RemoteExecution) -> None:
        server = _ServerSide(execution.client.retry)
        super().__init__(cast("S3Session", server))
        self.execution = execution
        self._window = Window(execution)
        self._unfinished: dict[str, FileAnswer] = {}

    def min_latency_seconds(self) -> float | None:
        """Return how long the quickest answer has taken so far; None before the first."""
        return self.execution.client.min_latency_seconds

    @property
    def verified_by_server(self) -> bool:
        """Whether the storage is known to verify SHA-256 on arrival."""
        return not self.execution.terms.content_md5 or self.server.checks_sha256 is True

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> tuple[PutOutcome, Checksum]:
        """Write an object only if the key is free; as every store does."""
        offer, digests = self._offer(key, data, content_type)
        checksum = Checksum("sha256", digests.sha256.hex())
        refused: AccessError | None = None
        for _ in range(_CREATE_ATTEMPTS):
            answer = self._window.ask(offer)
            outcome = answer.outcome
            if outcome is None and answer.stored is not None:
                outcome = self.compare(key, BytesReader(data), len(data))
            if outcome is not None:
                return outcome, checksum
            if answer.put is None:
                # What was stored a moment ago is gone again.
                continue
            try:
                self._put_signed(key, data, answer.put, digests)
                return PutOutcome.CREATED, checksum
            except ConflictError:
                # Either somebody was first, or it is our own write whose answer was lost.
                continue
            except AccessError as error:
                # The URL may have expired while this machine slept.
                if refused is not None:
                    raise
                refused = error
        raise ConflictError(f"upload of {printable(key)}: the key appears and disappears")

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> PutOutcome | None:
        """Compare local bytes with a stored object; None where there is no object."""
        head = self.head_for_compare(key)
        if head is None:
            return None
        same = content_equals(source, size_bytes, head, lambda: self.open_object(key), known)
        return PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT

    def _offer(
        self, key: str, data: bytes, content_type: str
    ) -> tuple[dict[str, Any], PartDigests]:
        own_md5 = None if self.verified_by_server else md5(data)
        digests = PartDigests(sha256(data), own_md5)
        offer = {
            "path": path_of(key),
            "size_bytes": len(data),
            "sha256": digests.sha256.hex(),
            "content_type": content_type,
        }
        return offer | ({"md5": own_md5.hex()} if own_md5 else {}), digests

    def _put_signed(self, key: str, data: bytes, signed: SignedPut, digests: PartDigests) -> None:
        what = f"upload of {printable(key)}"

        def request() -> None:
            answer = self.execution.client.put(signed, data, what)
            if self.check_arrived(answer, digests, what, again=False):
                return
            version_id = answer.header("x-amz-version-id", "null")
            if version_id == "null" or signed.receipt is None:
                return
            if self.execution.resolve(path_of(key), version_id, signed.receipt):
                raise ConflictError(f"{what}: somebody else was first")

        self.retry.call(request, what)

    def check_arrived(
        self, answer: S3Response, digests: PartDigests, what: str, again: bool
    ) -> bool:
        """Say whether the storage has checked a body's SHA-256; else check its ETag.

        Raises IntegrityError where other bytes arrived; `again` says whether to send it again can
        help: what is stored whole is immutable.
        """
        checked = answer.header("x-amz-checksum-sha256") == to_base64(digests.sha256)
        self.learn_checksum_support(checked)
        if not checked:
            verify_etag(answer.header("etag").strip('"'), digests.md5, what, retryable=again)
        return checked

    def head_for_compare(self, key: str) -> ObjectMetadata | None:
        """Return what the server says of an object, or None where there is none."""
        answer = self._window.ask({"path": path_of(key), "size_bytes": None})
        if answer.stored is None:
            self._unfinished[key] = answer
        return answer.stored

    def head(self, key: str) -> ObjectMetadata:
        """Return an object's head. Raises NotFoundError."""
        found = self.head_for_compare(key)
        if found is None:
            raise NotFoundError(f"look-up of {printable(key)}: not found")
        return found

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self.head_for_compare(key) is not None

    def open_object(self, key: str) -> RandomAccessReader:
        """Refuse: an upload may not read."""
        raise OrchestratorError(
            f"{printable(key)}: another tool stored this file, without a checksum that can be "
            "compared",
            hint="upload it under another name",
        )

    def unfinished(self, key: str) -> tuple[FoundParts, ...]:
        """Return the unfinished uploads of a key, as its last look-up found them."""
        found = self._unfinished.pop(key, None)
        if found is None:
            self.head_for_compare(key)
            found = self._unfinished.pop(key, None)
        return found.unfinished if found else ()


class _ServerSide:
    """What the engine asks of the clients. The server itself sees to what is lacking of AWS."""

    is_aws = True

    def __init__(self, retry: RetryPolicy) -> None:
        self.bucket = ""
        self.retry = retry

    def task(self, operation: Operation[T], on_throttled: Callable[[], object]) -> Task[T]:
        """Return an operation as it is: it waits for threads and sends nothing by itself."""
        return cast("Task[T]", operation)

    def loop(self, max_in_flight: int, stop: CancelToken) -> CurlLoop:
        """Return a loop for the thread that calls this; it is closed by the caller."""
        from orchestrator_cli.core.http.curl.loop import CurlLoop
        from orchestrator_cli.core.http.curl.options import ClientOptions

        options = ClientOptions(None, {}, USER_AGENT)
        return CurlLoop(options, max_in_flight=max_in_flight, stop=stop)


def path_of(key: str) -> str:
    """Return the path of a file's key."""
    return key.split("/", 2)[2]
