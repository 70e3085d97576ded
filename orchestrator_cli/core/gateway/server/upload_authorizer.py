"""Authorize uploads of clients without credentials: the server's half of `upload --via`.

What is signed is one create-only PUT of bytes whose checksum is known. Nothing is remembered here:
the storage keeps what a later request has to prove.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError, suppress_unless_fatal
from orchestrator_cli.core.base.ordered_map import ordered_map
from orchestrator_cli.core.base.text import printable, without_secrets
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.gateway.error_kinds import kind_of_error
from orchestrator_cli.core.gateway.limits import MAX_UNFINISHED_UPLOADS
from orchestrator_cli.core.gateway.messages.uploads import (
    FileDecision,
    FileError,
    FileOffer,
    IncompleteUploadMessage,
    SignedPut,
    StoredFileMessage,
    StoredPartMessage,
)
from orchestrator_cli.core.gateway.server.put_signer import PutSigner, body_headers, storage_place
from orchestrator_cli.core.gateway.server.version_receipts import VersionReceipts
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import (
    SCHEDULE_METADATA,
    SHA256_METADATA,
    best_stored_checksum,
)
from orchestrator_cli.core.s3.operations.multipart_listing import (
    IncompleteUpload,
    list_multipart_uploads,
    list_parts,
)
from orchestrator_cli.core.s3.operations.version_conflict import delete_if_not_oldest_version
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import ObjectMetadata, PutOutcome

_LOOKS_AT_ONCE = 8


@dataclass
class UploadAuthorizer:
    """Decides how a client's files are to be uploaded. Safe to share between threads."""

    store: ArtifactStore
    puts: PutSigner

    def __post_init__(self) -> None:
        self._receipts = VersionReceipts(self.store, self.puts.now)

    def check_files(
        self, execution_id: str, offers: Sequence[FileOffer], expiry: UrlExpiry
    ) -> list[FileDecision]:
        """Say of each file whether it is stored, and if not how to send it. Changes nothing.

        A file that the storage cannot be asked about has its error; the others are decided. Raises
        UsageError naming the first file that can be stored nowhere, before anything is looked at,
        and errors that concern every file.
        """
        placed = [(offer, *_check_offer(execution_id, offer)) for offer in offers]

        def decide(item: tuple[FileOffer, str, str]) -> FileDecision:
            try:
                return self._decide(*item, expiry)
            except OrchestratorError as error:
                if error.is_fatal:
                    raise
                return _undecided(item[1], error)

        return list(ordered_map(decide, placed, _LOOKS_AT_ONCE, _LOOKS_AT_ONCE))

    def _decide(self, offer: FileOffer, path: str, key: str, expiry: UrlExpiry) -> FileDecision:
        head = self.store.head_for_compare(key)
        if head is not None:
            return FileDecision(
                path=path,
                outcome=_compare(offer, head),
                stored=_stored_file(head),
                put=None,
                unfinished=None,
            )
        put, unfinished = None, None
        if _is_sent_by_parts(offer):
            unfinished = self._list_unfinished(key)
        else:
            put = self._sign_put(offer, path, key, expiry)
        return FileDecision(path=path, outcome=None, stored=None, put=put, unfinished=unfinished)

    def _sign_put(self, offer: FileOffer, path: str, key: str, expiry: UrlExpiry) -> SignedPut:
        size_bytes, digest = offer.size_bytes, offer.sha256
        if size_bytes is None or digest is None:
            raise UsageError(f"{printable(path)}: a file that is sent whole has a size and sha256")
        headers = body_headers(size_bytes, digest, offer.md5) | {
            "content-type": content_type_of(path),
            "if-none-match": "*",
            f"x-amz-meta-{SHA256_METADATA}": digest,
        }
        if not self._receipts.are_needed():
            return self.puts.sign(key, expiry, headers)
        receipt = secrets.token_hex(32)
        headers |= self._receipts.headers(receipt)
        return self.puts.sign(key, expiry, headers).model_copy(update={"receipt": receipt})

    def resolve_version_conflict(
        self, execution_id: str, path: str, version_id: str, receipt: str
    ) -> bool:
        """Delete a version just written where another one is older; return whether it was.

        For versioned buckets of servers that ignore If-None-Match: see
        `delete_if_not_oldest_version`. Raises UsageError unless the receipt is that of the PUT
        which wrote this version, not long ago.
        """
        _, key = storage_place(execution_id, path)
        if self.store.session.is_aws:
            return False
        self._receipts.check(key, version_id, receipt)
        return self.store.run(delete_if_not_oldest_version(key, version_id))

    def _list_unfinished(self, key: str) -> list[IncompleteUploadMessage]:
        uploads: list[IncompleteUpload] = []
        # Without the permission, or a server that lists, only resuming is lost.
        with suppress_unless_fatal(OrchestratorError):
            uploads = self.store.run(list_multipart_uploads(self.store.server, key))
        own = [one for one in uploads if one.key == key]
        own.sort(key=lambda one: one.initiated_at, reverse=True)
        found = []
        for one in own[:MAX_UNFINISHED_UPLOADS]:
            # It may have ended between the two calls, or the server won't say.
            with suppress_unless_fatal(OrchestratorError):
                found.append(self._describe(one))
        return found

    def _describe(self, upload: IncompleteUpload) -> IncompleteUploadMessage:
        listed = list_parts(upload.key, upload.upload_id)
        parts = self.store.run(listed) if upload.accepts_sha256 else {}
        return IncompleteUploadMessage(
            upload_id=upload.upload_id,
            initiated_at=upload.initiated_at,
            accepts_sha256=upload.accepts_sha256,
            parts=[
                StoredPartMessage.model_validate(part, from_attributes=True)
                for part in parts.values()
            ],
        )


def _check_offer(execution_id: str, offer: FileOffer) -> tuple[str, str]:
    """Return path and key of an offered file. Raises UsageError for what cannot be stored."""
    if not _is_sent_by_parts(offer) and offer.sha256 is None:
        message = f"{printable(offer.path)}: a file of up to {BASE_PART_BYTES:,} bytes"
        raise UsageError(f"{message} is offered with its sha256")
    return storage_place(execution_id, offer.path)


def _is_sent_by_parts(offer: FileOffer) -> bool:
    return offer.size_bytes is None or offer.size_bytes > BASE_PART_BYTES


def _undecided(path: str, error: OrchestratorError) -> FileDecision:
    reason = FileError(
        kind=kind_of_error(error),
        detail=printable(without_secrets(error.message)),
        code=error.code,
        request_id=error.request_id,
    )
    return FileDecision(
        path=path, outcome=None, stored=None, put=None, unfinished=None, error=reason
    )


def _compare(offer: FileOffer, head: ObjectMetadata) -> PutOutcome | None:
    """Compare as far as it can be done without the bytes; None where it cannot."""
    if offer.size_bytes is None:
        return None
    if head.size_bytes != offer.size_bytes:
        return PutOutcome.CONFLICT
    stored = best_stored_checksum(head)
    if stored is None or stored.schedule is not None:
        return None
    offered = {"sha256": offer.sha256, "md5": offer.md5}[stored.checksum.algorithm]
    if offered is None:
        return None
    same = offered == stored.checksum.hex_digest
    return PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT


def _stored_file(head: ObjectMetadata) -> StoredFileMessage:
    return StoredFileMessage(
        size_bytes=head.size_bytes,
        etag=head.etag,
        content_type=head.content_type,
        last_modified=head.last_modified,
        sha256=head.metadata.get(SHA256_METADATA),
        part_schedule=head.metadata.get(SCHEDULE_METADATA),
        checksum=str(head.checksum) if head.checksum else None,
    )
