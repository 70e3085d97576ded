"""Uploads through a server that has the credentials: it signs, and bodies go to the storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator_cli.core.base.errors import AccessError, ConflictError, NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.gateway.client.file_index import split_key
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.client.uploads.file_answer import FileAnswer, cannot_compare
from orchestrator_cli.core.gateway.client.uploads.file_offers import FileOffers
from orchestrator_cli.core.gateway.messages import uploads as messages
from orchestrator_cli.core.http.transport import Body, Response
from orchestrator_cli.core.s3.checksum import (
    BytesReader,
    RandomAccessReader,
    md5,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.error_codes import ended_upload_error
from orchestrator_cli.core.s3.operations.multipart import PartDigests, look_before_retry
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.operations.put import create_or_find, verify_etag
from orchestrator_cli.core.s3.operations.request import (
    Operation,
    S3Request,
    SignedBody,
    fetch,
    require_etag,
)
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.upload.parts.part_checksums import composite_from_parts
from orchestrator_cli.core.transfer.upload.target import FoundUpload


class GatewayTarget:
    """One execution of a server as a target of uploads; see `UploadTarget`.

    What a server of S3 may not do by itself, `orchestrator serve` sees to.
    """

    def __init__(self, offers: FileOffers) -> None:
        self._offers = offers
        self._checks_sha256: bool | None = None

    @property
    def verifies_sha256(self) -> bool:
        """Whether the storage is known to verify SHA-256 on arrival."""
        return not self._offers.terms.content_md5 or self._checks_sha256 is True

    def listed_etags(self) -> None:
        """Return None: the server looks at each file that is offered."""

    # --- small files ---------------------------------------------------------------------

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> Operation[tuple[PutOutcome, Checksum]]:
        """Offer a small file, and send it where the server says so."""
        digests = PartDigests(sha256(data), None if self.verifies_sha256 else md5(data))
        offer = {"path": split_key(key)[1], "size_bytes": len(data), "content_type": content_type}
        offer |= _hex_digests(digests)
        checksum = Checksum("sha256", digests.sha256.hex())
        answer = yield from self._offers.check_batched(offer)

        def compare() -> Operation[PutOutcome | None]:
            nonlocal answer
            answer = yield from self._offers.check_batched(offer)
            return answer.compare(key, BytesReader(data), len(data))

        def create() -> Operation[PutOutcome]:
            try:
                yield from self._put(key, data, digests, answer.put)
            except AccessError:
                # The URL may have expired while this machine slept.
                yield from compare()
                yield from self._put(key, data, digests, answer.put)
            return PutOutcome.CREATED

        outcome = answer.compare(key, BytesReader(data), len(data))
        if outcome is None:
            what = f"upload of {printable(key)}"
            outcome = yield from create_or_find(what, create, compare)
        return outcome, checksum

    def _put(
        self, key: str, data: bytes, digests: PartDigests, signed: messages.SignedPut | None
    ) -> Operation[None]:
        """Send a small file once. Raises ConflictError where the key is taken."""
        what = f"upload of {printable(key)}"
        if signed is None:
            # What was stored a moment ago is gone again, or the other way round.
            raise ConflictError(f"{what}: it has to be offered again")
        body = SignedBody(data, len(data), digests.sha256.hex())
        request = S3Request(
            "PUT", "", what, headers=signed.headers, body=body, presigned_url=signed.url
        )
        # Sending it again would only meet what was stored.
        arrived = yield from self._send(request, digests, is_final=True)
        version_id = arrived.header("x-amz-version-id", "null")
        if version_id == "null" or signed.receipt is None or self._is_echoed(arrived, digests):
            return
        path = split_key(key)[1]
        record = {"path": path, "version_id": version_id, "receipt": signed.receipt}
        looks = f"look at the versions of {printable(path)}"
        is_withdrawn = yield from ask(
            ServerRequest(f"{self._offers.address}/resolve", looks, record),
            lambda body: messages.ResolveResponse.model_validate(body).withdrawn,
        )
        if is_withdrawn:
            raise ConflictError(f"{what}: somebody else was first")

    def _send(
        self, request: S3Request, digests: PartDigests, *, is_final: bool
    ) -> Operation[Response]:
        """Send a body to its signed URL, and believe what tells that these bytes have arrived.

        `is_final` says that to send other bytes again cannot help: what is stored whole stays.
        """
        # A request that its own check held would keep its body until Python looks for such cycles.
        what = request.what

        def parse(response: Response) -> Response:
            etag = require_etag(response, what)
            self._checks_sha256 = self._is_echoed(response, digests)
            if not self._checks_sha256:
                verify_etag(etag, digests.md5, what, retryable=not is_final)
            return response

        return (yield from fetch(request, parse))

    @staticmethod
    def _is_echoed(response: Response, digests: PartDigests) -> bool:
        return response.header("x-amz-checksum-sha256") == to_base64(digests.sha256)

    def put_index(self, key: str, index: bytes, tail: bytes) -> list[Operation[object]]:
        """Return the operation that sends a log's index; the server reads its last bytes itself."""
        path = split_key(key)[1]
        address = f"{self._offers.address}/index/{log_name(path)}"
        request = ServerRequest(address, f"index of {printable(path)}", content=index)
        # A server of an older release takes none.
        return [ask(request, dict)]

    # --- what is stored ------------------------------------------------------------------

    def head(self, key: str) -> Operation[ObjectMetadata]:
        """Look an object up. Raises NotFoundError."""
        found = yield from self.head_for_compare(key)
        if found is None:
            raise NotFoundError(f"look-up of {printable(key)}: not found")
        return found

    def head_for_compare(self, key: str) -> Operation[ObjectMetadata | None]:
        """Look up what is needed to recompute a checksum; None where there is no object."""
        return (yield from self._look(key)).stored

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> Operation[PutOutcome | None]:
        """Compare local bytes with a stored object; None where there is no object."""
        return (yield from self._look(key)).compare(key, source, size_bytes, known)

    def hash_stored_range(self, key: str, offset_bytes: int, size_bytes: int) -> Operation[bytes]:
        """Refuse: an upload may not read."""
        raise cannot_compare(key)

    def _look(self, key: str) -> Operation[FileAnswer]:
        return self._offers.check({"path": split_key(key)[1], "size_bytes": None})

    # --- multipart uploads ---------------------------------------------------------------

    def find_incomplete_uploads(self, key: str) -> Operation[list[FoundUpload]]:
        """Return a key's incomplete multipart uploads, the fullest first."""
        answer = yield from self._look(key)
        return sorted(answer.unfinished, key=lambda item: len(item[1]), reverse=True)

    def create_multipart(self, key: str, content_type: str, schedule: str) -> Operation[str]:
        """Begin a multipart upload and return its upload id."""
        path = split_key(key)[1]
        record = {"path": path, "content_type": content_type, "part_schedule": schedule}
        what = f"start of the upload of {printable(path)}"
        return ask(
            ServerRequest(f"{self._offers.address}/multipart", what, record),
            lambda body: messages.MultipartResponse.model_validate(body).upload_id,
        )

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> Operation[StoredPart]:
        """Send one part. Raises NotFoundError where the upload has ended."""
        try:
            return (yield from self._send_part(key, upload_id, part, body, digests))
        except AccessError:
            # The URL may have expired on the way, as where this machine slept.
            return (yield from self._send_part(key, upload_id, part, body, digests))

    def _send_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> Operation[StoredPart]:
        what = f"upload of {printable(key)}, part {part.number}"
        offer = {"number": part.number, "size_bytes": part.size_bytes, **_hex_digests(digests)}
        record = {"path": split_key(key)[1], "upload_id": upload_id, "parts": [offer]}
        signed = yield from ask(
            ServerRequest(f"{self._offers.address}/multipart/parts", what, record),
            lambda body: messages.PartsResponse.model_validate(body).parts[0],
        )
        request = S3Request(
            "PUT",
            "",
            what,
            headers=signed.headers,
            body=SignedBody(body, part.size_bytes, digests.sha256.hex()),
            presigned_url=signed.url,
            before_retry=look_before_retry(lambda: self._check_in_progress(key, upload_id)),
        )
        arrived = yield from self._send(request, digests, is_final=False)
        etag = arrived.header("etag").strip('"')
        return StoredPart(part.number, part.size_bytes, etag, to_base64(digests.sha256))

    def _check_in_progress(self, key: str, upload_id: str) -> Operation[None]:
        """Raise NotFoundError for an upload that has ended."""
        answer = yield from self._look(key)
        if upload_id not in [found for found, _ in answer.unfinished]:
            raise ended_upload_error()

    def look_for_earlier_uploads(self, key: str, upload_id: str) -> Operation[None]:
        """Do nothing: the server looks when it completes one."""
        yield from ()

    def complete(
        self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int
    ) -> Operation[None]:
        """Make the object from its parts, only if the key is free."""
        found = [composite_from_parts(algorithm, parts) for algorithm in ("sha256", "md5")]
        path = split_key(key)[1]
        record = {
            "path": path,
            "upload_id": upload_id,
            "size_bytes": size_bytes,
            "checksums": [str(one) for one in found if one is not None],
        }
        what = f"completion of {printable(path)}"
        yield ServerRequest(f"{self._offers.address}/multipart/complete", what, record)

    def abort(self, key: str, upload_id: str) -> Operation[None]:
        """Do nothing: the server ends what cannot complete."""
        yield from ()

    def abort_other_uploads(
        self, key: str, completed_id: str, found: Iterable[FoundUpload]
    ) -> Operation[None]:
        """Do nothing: the server ends the others when one completes."""
        yield from ()


def _hex_digests(digests: PartDigests) -> dict[str, Any]:
    found = {"sha256": digests.sha256.hex()}
    return found | ({"md5": digests.md5.hex()} if digests.md5 else {})
