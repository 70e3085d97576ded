"""Let somebody without credentials upload: the server's half of `upload --via`.

What is granted is one create-only PUT of bytes whose checksum is known, or one part of such an
upload. Nothing is remembered here: S3 binds an upload id to its key and keeps the parts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UnsupportedError,
    UsageError,
)
from orchestrator_cli.core.base.ordered_map import ordered_map
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.s3.checksum import to_base64
from orchestrator_cli.core.s3.compare import SHA256_METADATA, StoredChecksum, best_stored_checksum
from orchestrator_cli.core.s3.multipart import IncompleteUpload, MultipartUploads, StoredPart
from orchestrator_cli.core.s3.part_plan import (
    BASE_PART_BYTES,
    is_valid_part_plan,
    part_plan_for,
    plan_parts,
)
from orchestrator_cli.core.s3.presign import Presigner, UrlExpiry, effective_expiry
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.s3.version_conflict import delete_if_not_oldest_version
from orchestrator_cli.core.s3.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.multipart_upload import (
    abort_other_uploads,
    wait_for_earlier_uploads,
)
from orchestrator_cli.core.transfer.part_checksums import (
    composite_from_parts,
    verify_completed_object,
)
from orchestrator_cli.core.transfer.plan import guess_content_type

_LOOKS_AT_ONCE = 8
# Of more unfinished uploads of one key the oldest are of no use.
_MAX_UNFINISHED = 8
# Of ASCII only: it becomes a header.
CONTENT_TYPE = r"^[A-Za-z0-9_!#$&^.+-]{1,100}/[A-Za-z0-9_!#$&^.+-]{1,100}(;[\x20-\x7e]{0,100})?$"


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that somebody has. `path` as `place` takes it; digests binary.

    `size_bytes` None: of a stream, which goes by parts.
    """

    path: str
    size_bytes: int | None = None
    sha256: bytes | None = None
    md5: bytes | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class PartOffer:
    """A part that somebody has."""

    number: int
    size_bytes: int
    sha256: bytes
    md5: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedPut:
    """A request that works once. The headers must be sent exactly so."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished upload of a key and the parts that S3 has of it."""

    upload: IncompleteUpload
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be done about an offer.

    `outcome` is None where nothing is stored yet, or where only who has the bytes can compare:
    `stored` is what is there. `put` sends a small file; a large one goes by parts, of which the
    `unfinished` uploads may hold some.
    """

    path: str
    key: str
    outcome: PutOutcome | None = None
    stored: ObjectMetadata | None = None
    put: SignedPut | None = None
    unfinished: tuple[Unfinished, ...] | None = None


@dataclass
class UploadAuthorizer:
    """Grants uploads into one bucket. Safe to share between threads."""

    store: ArtifactStore
    signer: Presigner
    now: Callable[[], datetime]
    expires_in_seconds: int

    def expiry(self) -> UrlExpiry:
        """Return until when a URL signed now works."""
        lifetime = self.store.clients.credential_lifetime()
        return effective_expiry(self.expires_in_seconds, lifetime, self.now())

    # --- files ---------------------------------------------------------------------------

    def look(self, execution_id: str, offers: Iterable[Offer], expiry: UrlExpiry) -> list[Answer]:
        """Say of each file whether it is stored, and if not how to send it. Changes nothing.

        Raises UsageError naming the first file that can be stored nowhere, before anything is
        looked at.
        """
        checked = [(offer, *_placed(execution_id, offer.path)) for offer in offers]

        def answer(item: tuple[Offer, str, str]) -> Answer:
            return self._answer(*item, expiry)

        return list(ordered_map(answer, checked, _LOOKS_AT_ONCE, _LOOKS_AT_ONCE))

    def _answer(self, offer: Offer, path: str, key: str, expiry: UrlExpiry) -> Answer:
        head = self.store.head_with_checksum(key)
        if head is not None:
            return Answer(path, key, _outcome(offer, head), head)
        size_bytes, digest = offer.size_bytes, offer.sha256
        if size_bytes is None or size_bytes > BASE_PART_BYTES or digest is None:
            return Answer(path, key, unfinished=self._unfinished(key))
        headers = _body_headers(size_bytes, digest, offer.md5) | {
            "content-type": _content_type(offer.content_type, path),
            "if-none-match": "*",
            f"x-amz-meta-{SHA256_METADATA}": digest.hex(),
        }
        return Answer(path, key, put=self._sign(key, expiry, {}, headers))

    def _sign(
        self, key: str, expiry: UrlExpiry, query: dict[str, str], headers: dict[str, str]
    ) -> SignedPut:
        by = self.signer.signing_key()
        return SignedPut(self.signer.sign(by, key, expiry, query, "PUT", headers), headers)

    def settle(self, execution_id: str, path: str, version_id: str) -> bool:
        """Take back a version just written where another one is older; say whether it was.

        For versioned buckets of servers that heed no condition: see `delete_if_not_oldest_version`.
        """
        _, key = _placed(execution_id, path)
        clients = self.store.clients
        return not clients.is_aws and clients.run(delete_if_not_oldest_version(key, version_id))

    # --- large files ---------------------------------------------------------------------

    def begin(self, execution_id: str, path: str, schedule: str, content_type: str | None) -> str:
        """Begin a multipart upload and return its id."""
        path, key = _placed(execution_id, path)
        if not is_valid_part_plan(schedule):
            raise UsageError(f"not a part schedule: {printable(schedule)!r}")
        uploads = MultipartUploads(self.store)
        return uploads.create(key, _content_type(content_type, path), schedule)

    def sign_parts(
        self,
        execution_id: str,
        path: str,
        upload_id: str,
        parts: Iterable[PartOffer],
        expiry: UrlExpiry,
    ) -> list[SignedPut]:
        """Return a request for each part.

        Whether there is such an upload of this key S3 says when the part arrives, and whether the
        parts make up the file `complete` does.
        """
        _, key = _placed(execution_id, path)
        signed = []
        for part in parts:
            query = {"partNumber": str(part.number), "uploadId": upload_id}
            headers = _body_headers(part.size_bytes, part.sha256, part.md5)
            signed.append(self._sign(key, expiry, query, headers))
        return signed

    def complete(
        self,
        execution_id: str,
        path: str,
        upload_id: str,
        size_bytes: int,
        checksums: Iterable[Checksum],
    ) -> Checksum | None:
        """Make the object from its parts, only if the key is free; return its checksum as stored.

        `checksums` are composite ones of the whole as its owner knows it, one for each algorithm;
        S3's list of parts must agree with one. Raises ConflictError where the key is taken or
        the parts are others, NotFoundError where the upload has ended; the owner then looks again.
        """
        path, key = _placed(execution_id, path)
        uploads = MultipartUploads(self.store)
        chosen = _chosen(path, size_bytes, uploads.list_parts(key, upload_id))
        _check_agrees(path, chosen, checksums)
        try:
            self._check_free(path, key, upload_id)
            uploads.complete(key, upload_id, chosen, size_bytes)
        except ConflictError as error:
            if not error.retryable:
                uploads.abort_best_effort(key, upload_id)
            raise

        def own(stored: StoredChecksum) -> Checksum | None:
            # One over the whole only who has the file can compare, and does.
            if stored.schedule is None:
                return None
            return composite_from_parts(stored.checksum.algorithm, chosen)

        checksum = verify_completed_object(self.store, key, size_bytes, own)
        abort_other_uploads(uploads, key, upload_id, self._others(uploads, key))
        return checksum

    def _check_free(self, path: str, key: str, upload_id: str) -> None:
        """Look once more where the server may not heed If-None-Match on completion."""
        if self.store.clients.is_aws:
            return
        with TransferEngine(self.store, 1) as transfers:
            wait_for_earlier_uploads(transfers, key, upload_id)
        if self.store.exists(key):
            message = f"upload of {printable(path)}: the key was taken meanwhile"
            raise ConflictError(message, code="PreconditionFailed")

    def _others(
        self, uploads: MultipartUploads, key: str
    ) -> list[tuple[str, dict[int, StoredPart]]]:
        try:
            return [(one.upload_id, {}) for one in uploads.list_uploads(key) if one.key == key]
        except OrchestratorError:
            # They cost storage until a rule of the bucket removes them, and the file is stored.
            return []

    def _unfinished(self, key: str) -> tuple[Unfinished, ...]:
        uploads = MultipartUploads(self.store)
        try:
            own = (one for one in uploads.list_uploads(key) if one.key == key)
            newest = sorted(own, key=lambda one: one.initiated_at, reverse=True)
        except (AccessError, UnsupportedError):
            # Without the permission, or a server that lists, only resuming is lost.
            return ()
        found = []
        for one in itertools.islice(newest, _MAX_UNFINISHED):
            try:
                parts = uploads.list_parts(key, one.upload_id) if one.takes_sha256 else {}
            except NotFoundError:
                # It ended between the two calls.
                continue
            found.append(Unfinished(one, tuple(parts.values())))
        return tuple(found)


def _placed(execution_id: str, relative: str) -> tuple[str, str]:
    """Return path and key. Raises UsageError for what can be stored nowhere."""
    path = storage_path_for(relative)
    return path, artifact_key(execution_id, path)


def _outcome(offer: Offer, head: ObjectMetadata) -> PutOutcome | None:
    """Compare as far as it can be done without the bytes."""
    if offer.size_bytes is None:
        return None
    if head.size_bytes != offer.size_bytes:
        return PutOutcome.CONFLICT
    stored = best_stored_checksum(head)
    if stored is None or stored.schedule is not None:
        return None
    own = {"sha256": offer.sha256, "md5": offer.md5}[stored.checksum.algorithm]
    if own is None:
        return None
    return PutOutcome.IDENTICAL if own.hex() == stored.checksum.hex_digest else PutOutcome.CONFLICT


def _body_headers(size_bytes: int, digest: bytes, md5: bytes | None) -> dict[str, str]:
    headers = {"content-length": str(size_bytes), "x-amz-checksum-sha256": to_base64(digest)}
    return headers | ({"content-md5": to_base64(md5)} if md5 is not None else {})


def _content_type(given: str | None, path: str) -> str:
    """Return the type that follows from the name; what is claimed only has to be one."""
    if given is not None and re.fullmatch(CONTENT_TYPE, given) is None:
        raise UsageError(f"not a content type: {printable(given)[:200]!r}")
    return guess_content_type(path)


def _chosen(path: str, size_bytes: int, stored: dict[int, StoredPart]) -> list[StoredPart]:
    chosen = []
    for part in plan_parts(size_bytes, part_plan_for(size_bytes)):
        found = stored.get(part.number)
        if found is None or found.size_bytes != part.size_bytes:
            message = f"upload of {printable(path)}: part {part.number} is not stored"
            raise ConflictError(message, code="InvalidPart")
        chosen.append(found)
    return chosen


def _check_agrees(path: str, chosen: list[StoredPart], checksums: Iterable[Checksum]) -> None:
    told = {one.algorithm: one for one in checksums}
    # MD5 counts only where the server lists nothing better.
    for algorithm in ("sha256", "md5"):
        stored = composite_from_parts(algorithm, chosen)
        if stored is not None and algorithm in told:
            if stored == told[algorithm]:
                return
            break
    message = f"upload of {printable(path)}: the stored parts are of other content"
    raise ConflictError(message, code="InvalidPart")
