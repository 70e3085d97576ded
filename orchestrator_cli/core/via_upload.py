"""Upload through an `orchestrator serve`, without credentials, by the same engine.

The engine sees a store and multipart uploads. What they are asked goes to the server, which answers
with signed URLs; bodies go straight to the storage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cached_property
from typing import Any, cast

from orchestrator_cli.core.digest import ReadsAt, md5, sha256, to_base64
from orchestrator_cli.core.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
    printable,
)
from orchestrator_cli.core.ledger import composite_of
from orchestrator_cli.core.models import Checksum, ObjectHead, Outcome
from orchestrator_cli.core.multipart import (
    MultipartUploads,
    PartDigests,
    StoredPart,
    UnfinishedUpload,
)
from orchestrator_cli.core.pace import Pace, PacedBody
from orchestrator_cli.core.parts import Part
from orchestrator_cli.core.rest import Body
from orchestrator_cli.core.retry import RetryPolicy
from orchestrator_cli.core.s3 import S3Clients
from orchestrator_cli.core.source import MemorySource
from orchestrator_cli.core.store import ArtifactStore, check_etag
from orchestrator_cli.core.transfer import Transfers
from orchestrator_cli.core.via_client import SignedPut
from orchestrator_cli.core.via_execution import FileAnswer, FoundParts, ViaExecution, not_understood

_CREATE_ATTEMPTS = 5
# Each takes along what has come up while the others were under way.
_REQUESTS_AT_ONCE = 2


class ViaStore(ArtifactStore):
    """What the engine asks of a store, asked of the server. Keys are those of one execution."""

    def __init__(self, execution: ViaExecution, pace: Pace | None = None) -> None:
        server = _ServerSide(execution.client.retry)
        super().__init__(cast("S3Clients", server), pace)
        self.execution = execution
        self._window = _Window(execution)
        self._unfinished: dict[str, FileAnswer] = {}

    @property
    def verified_by_server(self) -> bool:
        """Whether the storage is known to verify SHA-256 on arrival."""
        return not self.execution.terms.content_md5 or self._checks_sha256 is True

    def create(
        self, key: str, data: bytes, content_type: str, known_absent: bool | None = None
    ) -> tuple[Outcome, Checksum]:
        """Write an object only if the key is free; as every store does."""
        digest = sha256(data)
        checksum = Checksum("sha256", digest.hex())
        offer = {
            "path": path_of(key),
            "size_bytes": len(data),
            "sha256": digest.hex(),
            "content_type": content_type,
        }
        refused: AccessError | None = None
        for _ in range(_CREATE_ATTEMPTS):
            own_md5 = None if self.verified_by_server else md5(data)
            answer = self._window.ask(offer | ({"md5": own_md5.hex()} if own_md5 else {}))
            outcome = answer.outcome or self._compared(key, data, answer)
            if outcome is not None:
                return outcome, checksum
            try:
                self._put_signed(key, data, answer, PartDigests(digest, own_md5))
                return Outcome.CREATED, checksum
            except ConflictError:
                # Either somebody was first, or it is our own write whose answer was lost.
                continue
            except AccessError as error:
                # The URL may have expired while this machine slept.
                if refused is not None:
                    raise
                refused = error
        raise ConflictError(f"upload of {printable(key)}: the key appears and disappears")

    def _compared(self, key: str, data: bytes, answer: FileAnswer) -> Outcome | None:
        return self.compare(key, MemorySource(data), len(data)) if answer.stored else None

    def _put_signed(self, key: str, data: bytes, answer: FileAnswer, digests: PartDigests) -> None:
        what, signed = f"upload of {printable(key)}", answer.put
        if signed is None:
            raise not_understood()

        def request() -> None:
            body = PacedBody(data, self.pace) if self.pace else data
            self.send(signed, body, digests, what, again=False)

        self.retry.call(request, what)

    def send(
        self, signed: SignedPut, body: Body, digests: PartDigests, what: str, again: bool
    ) -> str:
        """Send a body once and return its ETag.

        Raises IntegrityError where other bytes arrived; `again` says whether to send it again can
        help: what is stored whole is immutable.
        """
        answer = self.execution.client.put(signed, body, what)
        echoed = answer.header("x-amz-checksum-sha256") == to_base64(digests.sha256)
        self.learn_checksum_support(echoed)
        etag = answer.header("ETag").strip('"')
        if not echoed:
            check_etag(etag, digests.md5, what, retryable=again)
        return etag

    def head_with_checksum(self, key: str) -> ObjectHead | None:
        """Return what the server says of an object, or None where there is none."""
        answer = self._window.ask({"path": path_of(key), "size_bytes": None})
        if answer.stored is None:
            self._unfinished[key] = answer
        return answer.stored

    def head(self, key: str) -> ObjectHead:
        """Return an object's head. Raises NotFoundError."""
        found = self.head_with_checksum(key)
        if found is None:
            raise NotFoundError(f"look-up of {printable(key)}: not found")
        return found

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self.head_with_checksum(key) is not None

    def open_stored(self, key: str) -> ReadsAt:
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
            self.head_with_checksum(key)
            found = self._unfinished.pop(key, None)
        return found.unfinished if found else ()


class ViaUploads(MultipartUploads):
    """The multipart calls of one execution, asked of its server."""

    def __init__(self, store: ViaStore) -> None:
        self._via = store
        self._execution = store.execution
        self._parts: dict[str, dict[int, StoredPart]] = {}

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the unfinished uploads of exactly this key."""
        for upload, parts in self._via.unfinished(prefix):
            self._parts[upload.upload_id] = parts
            yield UnfinishedUpload(
                prefix, upload.upload_id, upload.initiated_at, upload.takes_sha256
            )

    def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Return the parts that came with the uploads. Raises NotFoundError."""
        try:
            return self._parts.pop(upload_id)
        except KeyError as error:
            raise NotFoundError("the upload was ended", code="NoSuchUpload") from error

    def create(self, key: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its upload id."""
        return self._execution.begin(path_of(key), content_type, schedule)

    def may_have_lost_one(self, key: str) -> bool:
        """Leave it to the server, which ends the others when one completes."""
        return False

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Any, digests: PartDigests
    ) -> StoredPart:
        """Send one part. Raises NotFoundError."""
        what = f"upload of {printable(key)}, part {part.number}"
        offer = {
            "number": part.number,
            "size_bytes": part.size_bytes,
            "sha256": digests.sha256.hex(),
        }
        offer |= {"md5": digests.md5.hex()} if digests.md5 else {}
        paced = self._paced_body(body)

        def request() -> StoredPart:
            # A URL for each time it is sent: the one before may have expired meanwhile.
            signed = self._execution.sign_part(path_of(key), upload_id, offer, what)
            try:
                etag = self._via.send(signed, paced, digests, what, again=True)
            except UnavailableError as error:
                if error.code is not None:
                    self._check_unfinished(key, upload_id)
                raise
            return StoredPart(part.number, part.size_bytes, etag, to_base64(digests.sha256))

        try:
            return self._via.retry.call(request, what)
        except AccessError:
            # The URL may have expired on the way, as where this machine slept.
            return self._via.retry.call(request, what)

    def _paced_body(self, body: Any) -> Any:
        if self._via.pace is not None and isinstance(body, bytes | bytearray):
            return PacedBody(body, self._via.pace)
        return body

    def _check_unfinished(self, key: str, upload_id: str) -> None:
        """Raise NotFoundError for an upload that was ended: some servers answer 500 to its parts.

        To ask is cheaper than to send the part five times more.
        """
        self._via.head_with_checksum(key)
        if upload_id not in [upload.upload_id for upload, _ in self._via.unfinished(key)]:
            raise NotFoundError("the upload was ended", code="NoSuchUpload")

    def complete(self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int) -> None:
        """Make the object from its parts, only if the key is free."""
        found = [composite_of(algorithm, parts) for algorithm in ("sha256", "md5")]
        checksums = [one for one in found if one is not None]
        self._execution.complete(path_of(key), upload_id, size_bytes, checksums)

    def abort_quietly(self, key: str, upload_id: str) -> None:
        """Leave it to the server, which ends what cannot complete."""


class ViaTransfers(Transfers):
    """Threads and budget of one command that uploads through a server."""

    @cached_property
    def uploads(self) -> MultipartUploads:
        """The multipart calls."""
        return ViaUploads(cast("ViaStore", self.store))

    @property
    def group_size(self) -> int:
        """How many small files one thread should take: one, as files are offered together."""
        return 1


class _ServerSide:
    """What the engine asks of the clients. The server itself sees to what is lacking of AWS."""

    is_aws = True

    def __init__(self, retry: RetryPolicy) -> None:
        self.bucket = ""
        self.retry = retry


class _Window:
    """Offers what several threads have at the same moment in one request."""

    def __init__(self, execution: ViaExecution) -> None:
        self._execution = execution
        self._waiting: list[tuple[dict[str, Any], Future[FileAnswer]]] = []
        self._lock = threading.Lock()
        self._requests = threading.BoundedSemaphore(_REQUESTS_AT_ONCE)

    def ask(self, offer: dict[str, Any]) -> FileAnswer:
        """Return the answer about one file."""
        answer: Future[FileAnswer] = Future()
        most = self._execution.terms.max_files
        with self._lock:
            self._waiting.append((offer, answer))
        with self._requests:
            while not answer.done():
                with self._lock:
                    batch, self._waiting = self._waiting[:most], self._waiting[most:]
                if not batch:
                    # Another thread has taken it along.
                    break
                self._settle(batch)
        return answer.result()

    def _settle(self, batch: list[tuple[dict[str, Any], Future[FileAnswer]]]) -> None:
        try:
            for (_, answer), told in zip(batch, self._look(batch), strict=True):
                answer.set_result(told)
        except UsageError as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One that the server does not take must not be the end of the others.
            for item in batch:
                self._settle([item])
        except BaseException as error:  # noqa: BLE001 - raised where the answers are awaited
            for _, answer in batch:
                answer.set_exception(error)

    def _look(self, batch: list[tuple[dict[str, Any], Future[FileAnswer]]]) -> list[FileAnswer]:
        path = printable(batch[0][0]["path"])
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        return self._execution.look([offer for offer, _ in batch], f"offer of {path}{more}")


def path_of(key: str) -> str:
    """Return the path of a file's key."""
    return key.split("/", 2)[2]
