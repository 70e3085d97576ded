"""Probes of what the server promises: conditions, checksums, resuming, presigned URLs.

Each goes through the code that uploads, reads and finishes go through, so that a verdict says what
they will meet. Only requests that must fail, such as one with a wrong checksum, are made by hand.
"""

from __future__ import annotations

from orchestrator_cli.core.base.errors import ConflictError, UnsupportedError
from orchestrator_cli.core.executions.doctor.checker import ProbeResult, Verdict
from orchestrator_cli.core.executions.doctor.scratch import (
    FIRST,
    NO_UPLOAD,
    SECOND,
    TEXT,
    Scratch,
    only_denials_raised,
)
from orchestrator_cli.core.executions.keys import metadata_key
from orchestrator_cli.core.s3.bucket.presign import effective_expiry, presign_object
from orchestrator_cli.core.s3.checksum import composite, md5, sha256, to_base64
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.operations.multipart_listing import list_multipart_uploads, list_parts
from orchestrator_cli.core.s3.types import Checksum, PutOutcome

# --- create-only writes ----------------------------------------------------------------------


def put_twice(scratch: Scratch) -> ProbeResult:
    """Create an object twice, with other bytes the second time."""
    store, key = scratch.store, scratch.key("create-only-put")
    store.put_if_absent(key, FIRST, TEXT, listed_etag="")
    outcome, _ = store.put_if_absent(key, SECOND, TEXT, listed_etag="")
    intact = store.get(key).content == FIRST
    races = "two writers at once may overwrite"
    if outcome is not PutOutcome.CONFLICT or not intact:
        return (
            Verdict.DEGRADED,
            f"If-None-Match is ignored, a second write wins: look first; {races}",
        )
    if not store.server.creates_atomically:
        return Verdict.DEGRADED, f"If-None-Match is not implemented: look first (HEAD); {races}"
    if not scratch.put_is_refused(key, SECOND):
        detail = "If-None-Match is ignored: of two versions the later one is taken back"
        return Verdict.DEGRADED, detail
    return Verdict.OK, "a second write is refused, and the first stays"


def swap_twice(scratch: Scratch) -> ProbeResult:
    """Replace an object twice by compare-and-swap, with the same ETag."""
    # The one object that may change; a bucket policy may refuse it for every other.
    store, key = scratch.store, metadata_key(scratch.execution_id)
    store.put_if_absent(key, FIRST, TEXT, listed_etag="")
    etag = store.get(key).etag
    store.compare_and_swap(key, SECOND, etag, TEXT)
    races = "two updates of metadata.json at once may lose one"
    if not store.server.swaps_atomically:
        return Verdict.DEGRADED, f"If-Match is always refused: look first, and again after; {races}"
    try:
        store.compare_and_swap(key, FIRST, etag, TEXT)
    except ConflictError:
        return Verdict.OK, "If-Match is heeded"
    return Verdict.DEGRADED, f"If-Match is ignored: {races}"


def complete_twice(scratch: Scratch) -> ProbeResult:
    """Complete a multipart upload whose key is taken."""
    store, key = scratch.store, scratch.key("create-only-complete")
    store.put_if_absent(key, FIRST, TEXT, listed_etag="")
    refused = False
    try:
        scratch.upload_in_parts(key, SECOND)
    except ConflictError:
        refused = True
    if not refused or store.get(key).content != FIRST:
        detail = "If-None-Match is ignored, a second write wins: look right before"
        return Verdict.DEGRADED, f"{detail}; two completed at once may overwrite"
    if not store.server.completes_atomically:
        detail = "If-None-Match is not implemented: look right before (HEAD)"
        return Verdict.DEGRADED, f"{detail}; two completed at once may overwrite"
    return Verdict.OK, "a second write is refused, and the first stays"


# --- checksums -------------------------------------------------------------------------------


def put_wrong_sha256(scratch: Scratch) -> ProbeResult:
    """Send an object with the SHA-256 of other bytes."""
    wrong = to_base64(sha256(SECOND))
    if scratch.put_is_refused(scratch.key("wrong-sha256"), FIRST, ChecksumSHA256=wrong):
        return Verdict.OK, "a wrong checksum is refused"
    return Verdict.DEGRADED, "accepted with a wrong checksum: Content-MD5 goes along"


def put_wrong_md5(scratch: Scratch) -> ProbeResult:
    """Send an object with the MD5 of other bytes."""
    wrong = to_base64(md5(SECOND))
    if scratch.put_is_refused(scratch.key("wrong-md5"), FIRST, ContentMD5=wrong):
        return Verdict.OK, "a wrong checksum is refused"
    return Verdict.DEGRADED, "accepted with a wrong checksum: only reading back can tell"


def read_composite(scratch: Scratch) -> ProbeResult:
    """Look for the checksum of an object that was stored in parts."""
    key = scratch.key("composite")
    scratch.upload_in_parts(key, FIRST)
    stored = best_stored_checksum(scratch.store.head(key))
    if stored is not None and stored.checksum == composite("sha256", [sha256(FIRST)]):
        return Verdict.OK, "SHA-256 over the parts"
    whole = Checksum("md5", md5(FIRST).hex())
    if stored is not None and stored.checksum in (composite("md5", [md5(FIRST)]), whole):
        return Verdict.DEGRADED, "MD5 ETags only"
    return Verdict.DEGRADED, "none that can be recomputed: comparing reads the object back"


# --- resuming --------------------------------------------------------------------------------


def find_upload(scratch: Scratch) -> ProbeResult:
    """Look for an unfinished upload in the server's list."""
    key = scratch.key("listed")
    upload_id = scratch.begin_upload(key, FIRST)[0] if scratch.can_upload else None
    try:
        uploads = scratch.store.run(list_multipart_uploads(scratch.store.server, key))
    except UnsupportedError as error:
        return (
            Verdict.DEGRADED,
            f"not implemented ({error.code}): an interrupted upload begins anew",
        )
    if upload_id is None or upload_id in [one.upload_id for one in uploads]:
        return Verdict.OK, "an interrupted upload can be resumed"
    return Verdict.DEGRADED, "an upload is not in the list: an interrupted one begins anew"


def find_part(scratch: Scratch) -> ProbeResult:
    """Look for the checksum of a part in the server's list."""
    key = scratch.key("parts")
    if not scratch.can_upload:
        with only_denials_raised():
            scratch.store.run(list_parts(key, NO_UPLOAD))
        return Verdict.OK, "allowed; whether they have checksums was not tried"
    upload_id, _ = scratch.begin_upload(key, FIRST)
    listed = scratch.store.run(list_parts(key, upload_id)).get(1)
    if listed is not None and listed.sha256 == to_base64(sha256(FIRST)):
        return Verdict.OK, "SHA-256"
    if listed is not None and listed.etag == md5(FIRST).hex():
        return Verdict.DEGRADED, "MD5 ETags only: resuming compares those"
    return Verdict.DEGRADED, "none that can be recomputed: parts are sent again"


# --- presigned URLs --------------------------------------------------------------------------


def _presigned_url(scratch: Scratch) -> str:
    key = scratch.key("readable")
    scratch.store.put_if_absent(key, FIRST, TEXT)
    session = scratch.store.session
    expiry = effective_expiry(60, session.credential_lifetime(), scratch.now())
    return presign_object(scratch.store, session.signing_key(), key, expiry)


def fetch_range(scratch: Scratch) -> ProbeResult:
    """Read a range of an object through a presigned URL."""
    status, body = scratch.fetch(_presigned_url(scratch), {"range": "bytes=3-6"})
    if status == 206 and body == FIRST[3:7]:
        return Verdict.OK, "206 with the bytes asked for"
    detail = f"answers {status} with {len(body)} bytes"
    works = status == 200 and body in (FIRST, FIRST[3:7])
    return Verdict.DEGRADED if works else Verdict.DOES_NOT_WORK, detail


def fetch_tampered(scratch: Scratch) -> ProbeResult:
    """Try a presigned URL whose signature was changed."""
    url = _presigned_url(scratch)
    # The last hex digit of the signature, changed to another one.
    status, _ = scratch.fetch(url[:-1] + ("0" if url[-1] != "0" else "1"))
    if status == 403:
        return Verdict.OK, "a tampered URL is refused"
    return Verdict.DEGRADED, f"a tampered URL is answered with {status}: links protect nothing"
