"""What a bucket, its server and these credentials can do, tried for real on scratch keys.

Every promise of this library that rests on the server is tried once. The scratch objects lie under
a random execution id and are removed at the end; without the right to delete, nothing is written.
"""

from __future__ import annotations

import contextlib
import email.utils
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    InterruptedByUser,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    artifact_key,
    execution_prefix,
    metadata_key,
)
from orchestrator_cli.core.http.transport import Request, Response
from orchestrator_cli.core.s3.checksum import composite, md5, sha256, to_base64
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.multipart import MultipartUploads, PartDigests, StoredPart
from orchestrator_cli.core.s3.part_plan import DOUBLING, Part
from orchestrator_cli.core.s3.presign import presign_get
from orchestrator_cli.core.s3.types import Checksum
from orchestrator_cli.core.s3.writer import ArtifactStore

_FIRST, _SECOND = b"orchestrator doctor: first", b"orchestrator doctor: second"
_LARGEST_SKEW_SECONDS = 60
_UPLOADS_STAY = "unfinished uploads stay, and cost"
# The answer to HEAD has no body, and so no code but its status.
_POLICY_CODES = frozenset({"AccessDenied", "AllAccessDisabled", "403", ""})


class Verdict(StrEnum):
    """`ok`: the promise holds. `weaker`: the tool must fall back. `denied`: access is missing.

    `info` is a setting that no promise rests on, `skipped` could not be tried.
    """

    OK = "ok"
    WEAKER = "weaker"
    DENIED = "denied"
    INFO = "info"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `actions` are the IAM actions that it needs."""

    name: str
    verdict: Verdict
    detail: str
    actions: tuple[str, ...] = ()


Probe = Callable[[], tuple[Verdict, str]]


@dataclass
class ConformanceChecker:
    """The examination of one bucket. Use once."""

    store: ArtifactStore
    scratch_id: str
    now: Callable[[], datetime]
    _uploads: list[tuple[str, str]] = field(default_factory=list)

    def run(self) -> Iterator[Check]:
        """Yield a finding per promise; stops early where the bucket cannot be reached.

        Raises NotFoundError and UnavailableError.
        """
        yield self._check("credentials", self._credentials)
        listing = self._check("list objects", self._list, "s3:ListBucket")
        yield listing
        if listing.verdict is Verdict.DENIED:
            return
        yield self._check("clock", self._clock)
        deleting = self._check("delete scratch objects", self._delete, "s3:DeleteObject")
        yield deleting
        if deleting.verdict is Verdict.OK:
            try:
                yield from self._writing_checks()
            finally:
                self._clean_up()
        else:
            detail = "nothing was written, because it could not be removed again"
            yield Check("writing", Verdict.SKIPPED, detail)
        yield self._check("lifecycle", self._lifecycle, "s3:GetLifecycleConfiguration")
        yield self._check("encryption", self._encryption, "s3:GetEncryptionConfiguration")
        yield self._check("versioning", self._versioning, "s3:GetBucketVersioning")

    def _writing_checks(self) -> Iterator[Check]:
        put = "s3:PutObject"
        yield self._check("create-only put", self._create_only_put, put, "s3:GetObject")
        yield self._check("compare-and-swap", self._compare_and_swap, put, "s3:GetObject")
        yield self._check("SHA-256 verified on arrival", self._wrong_sha256, put)
        yield self._check("Content-MD5 verified on arrival", self._wrong_md5, put)
        listing = "s3:ListBucketMultipartUploads"
        yield self._check("unfinished uploads listed", self._upload_listed, put, listing)
        parts = "s3:ListMultipartUploadParts"
        yield self._check("part checksums listed", self._parts_listed, put, parts)
        yield self._check("create-only complete", self._create_only_complete, put)
        yield self._check("checksum of multipart objects", self._composite, put, "s3:GetObject")
        yield self._check("presigned range", self._presigned_range, "s3:GetObject")
        yield self._check("signatures verified", self._tampered_url, "s3:GetObject")

    def _check(self, name: str, probe: Probe, *actions: str) -> Check:
        try:
            verdict, detail = probe()
        except AccessError as error:
            # What no policy can mend, such as a wrong secret or clock, misses no action.
            missing = actions if error.code in _POLICY_CODES else ()
            return Check(name, Verdict.DENIED, error.message, missing)
        except (UnavailableError, InterruptedByUser):
            raise
        except OrchestratorError as error:
            if error.is_fatal:
                raise
            return Check(name, Verdict.WEAKER, error.message, actions)
        return Check(name, verdict, detail, actions)

    # --- access --------------------------------------------------------------------------

    def _credentials(self) -> tuple[Verdict, str]:
        lifetime = self.store.clients.credential_lifetime()
        if lifetime.expires_at is not None:
            left = int((lifetime.expires_at - self.now()).total_seconds())
            return Verdict.OK, f"temporary, for another {left // 60} min"
        if lifetime.temporary:
            return Verdict.OK, "temporary; they do not say when they end"
        return Verdict.OK, "they do not expire"

    def _list(self) -> tuple[Verdict, str]:
        self._call("list_objects_v2", MaxKeys=1, Prefix=EXECUTIONS_PREFIX)
        return Verdict.OK, "allowed"

    def _clock(self) -> tuple[Verdict, str]:
        answer = self._call("list_objects_v2", MaxKeys=1, Prefix=EXECUTIONS_PREFIX)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if not date:
            return Verdict.SKIPPED, "the server does not say its time"
        seconds = abs((self.now() - email.utils.parsedate_to_datetime(date)).total_seconds())
        verdict = Verdict.OK if seconds <= _LARGEST_SKEW_SECONDS else Verdict.WEAKER
        return verdict, f"{seconds:.0f} s away from the server's; S3 refuses over 15 min"

    def _delete(self) -> tuple[Verdict, str]:
        self._call("delete_object", Key=self._key("none"))
        return Verdict.OK, "allowed"

    # --- writing -------------------------------------------------------------------------

    def _create_only_put(self) -> tuple[Verdict, str]:
        key = self._key("create-only-put")
        self._call("put_object", Key=key, Body=_FIRST, IfNoneMatch="*")
        refused = self._refused("put_object", Key=key, Body=_SECOND, IfNoneMatch="*")
        return self._kept(key, refused, "look first; two writers at once may overwrite")

    def _compare_and_swap(self) -> tuple[Verdict, str]:
        # The one object that may change; a bucket policy may refuse it for every other.
        key = metadata_key(self.scratch_id)
        self.store.create(key, _FIRST, "text/plain", listed_etag="")
        etag = self.store.get(key).etag
        self.store.replace(key, _SECOND, etag, "text/plain")
        if not self.store.swaps_atomically:
            detail = "If-Match is always refused: look first, and again afterwards"
            return Verdict.WEAKER, f"{detail}; two updates of metadata.json at once may lose one"
        try:
            self.store.replace(key, _FIRST, etag, "text/plain")
        except ConflictError:
            return Verdict.OK, "If-Match is heeded"
        detail = "If-Match is ignored: two updates of metadata.json at once may lose one"
        return Verdict.WEAKER, detail

    def _wrong_sha256(self) -> tuple[Verdict, str]:
        wrong = to_base64(sha256(_SECOND))
        key = self._key("wrong-sha256")
        if self._refused("put_object", Key=key, Body=_FIRST, IfNoneMatch="*", ChecksumSHA256=wrong):
            return Verdict.OK, "a wrong checksum is refused"
        return Verdict.WEAKER, "accepted with a wrong checksum: Content-MD5 goes along"

    def _wrong_md5(self) -> tuple[Verdict, str]:
        wrong = to_base64(md5(_SECOND))
        key = self._key("wrong-md5")
        if self._refused("put_object", Key=key, Body=_FIRST, IfNoneMatch="*", ContentMD5=wrong):
            return Verdict.OK, "a wrong checksum is refused"
        return Verdict.WEAKER, "accepted with a wrong checksum: only reading back can tell"

    def _upload_listed(self) -> tuple[Verdict, str]:
        key = self._key("listed")
        upload_id, _ = self._begin(key)
        found = [upload.upload_id for upload in self._multipart.list_uploads(key)]
        if upload_id in found:
            return Verdict.OK, "an interrupted upload can be resumed"
        return Verdict.WEAKER, "an interrupted upload starts again"

    def _parts_listed(self) -> tuple[Verdict, str]:
        key = self._key("parts")
        upload_id, sent = self._begin(key)
        listed = self._multipart.list_parts(key, upload_id).get(1)
        if listed is not None and listed.sha256 == sent.sha256:
            return Verdict.OK, "SHA-256"
        if listed is not None and listed.etag == md5(_FIRST).hex():
            return Verdict.WEAKER, "MD5 ETags only: resuming compares those"
        return Verdict.WEAKER, "none that can be recomputed: parts are sent again"

    def _create_only_complete(self) -> tuple[Verdict, str]:
        key = self._key("create-only-complete")
        self.store.create(key, _FIRST, "text/plain", listed_etag="")
        upload_id, part = self._begin(key, _SECOND)
        refused = False
        try:
            self._multipart.complete(key, upload_id, [part], len(_SECOND))
        except ConflictError:
            refused = True
        return self._kept(key, refused, "look right before; two completed at once may overwrite")

    def _composite(self) -> tuple[Verdict, str]:
        key = self._key("composite")
        upload_id, part = self._begin(key)
        self._multipart.complete(key, upload_id, [part], len(_FIRST))
        stored = best_stored_checksum(self.store.head(key))
        if stored is not None and stored.checksum == composite("sha256", [sha256(_FIRST)]):
            return Verdict.OK, "SHA-256 over the parts"
        whole = Checksum("md5", md5(_FIRST).hex())
        if stored is not None and stored.checksum in (composite("md5", [md5(_FIRST)]), whole):
            return Verdict.WEAKER, "MD5 ETags only"
        return Verdict.WEAKER, "none that can be recomputed: comparing reads the object back"

    # --- reading -------------------------------------------------------------------------

    def _presigned_range(self) -> tuple[Verdict, str]:
        url = presign_get(self.store, self._readable_key(), 60, self.now())
        answer = self._get(url, {"range": "bytes=3-6"})
        if answer.status == 206 and answer.body == _FIRST[3:7]:
            return Verdict.OK, "206 with the bytes asked for"
        return Verdict.WEAKER, f"answers {answer.status} with {len(answer.body)} bytes"

    def _tampered_url(self) -> tuple[Verdict, str]:
        url = presign_get(self.store, self._readable_key(), 60, self.now())
        # The last hex digit of the signature, changed to another one.
        tampered = url[:-1] + ("0" if url[-1] != "0" else "1")
        status = self._get(tampered, {}).status
        if status == 403:
            return Verdict.OK, "a tampered URL is refused"
        return Verdict.WEAKER, f"a tampered URL is answered with {status}: links protect nothing"

    def _get(self, url: str, headers: dict[str, str]) -> Response:
        return self.store.clients.transport.send(Request("GET", url, headers))

    def _readable_key(self) -> str:
        key = self._key("readable")
        self.store.create(key, _FIRST, "text/plain")
        return key

    # --- settings ------------------------------------------------------------------------

    def _lifecycle(self) -> tuple[Verdict, str]:
        try:
            answer = self._call("get_bucket_lifecycle_configuration")
        except OrchestratorError as error:
            return _no_setting(error, "NoSuchLifecycleConfiguration", f"no rules; {_UPLOADS_STAY}")
        rules = [rule for rule in answer.get("Rules", []) if rule["Status"] == "Enabled"]
        aborting = any("AbortIncompleteMultipartUpload" in rule for rule in rules)
        ends = "unfinished uploads end" if aborting else _UPLOADS_STAY
        return Verdict.INFO, f"{len(rules)} rules; {ends}"

    def _encryption(self) -> tuple[Verdict, str]:
        try:
            answer = self._call("get_bucket_encryption")
        except OrchestratorError as error:
            code = "ServerSideEncryptionConfigurationNotFoundError"
            return _no_setting(error, code, "none by default")
        rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        if not rules:
            return Verdict.INFO, "none by default"
        algorithm = rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        return Verdict.INFO, f"{algorithm} by default"

    def _versioning(self) -> tuple[Verdict, str]:
        try:
            answer = self._call("get_bucket_versioning")
        except OrchestratorError as error:
            return _no_setting(error, "", "")
        return Verdict.INFO, str(answer.get("Status", "off")).lower()

    # --- requests ------------------------------------------------------------------------

    @property
    def _multipart(self) -> MultipartUploads:
        return MultipartUploads(self.store)

    def _key(self, name: str) -> str:
        return artifact_key(self.scratch_id, f"artifacts/custom/doctor/{name}")

    def _call(self, operation: str, **parameters: Any) -> Any:
        request = getattr(self.store.clients.boto, operation)
        return self.store.retry.call(
            lambda: request(Bucket=self.store.bucket, **parameters), operation.replace("_", " ")
        )

    def _refused(self, operation: str, **parameters: Any) -> bool:
        """Say whether a request that must fail did; it is sent once."""
        request = getattr(self.store.clients.boto, operation)
        try:
            self.store.retry.once(
                lambda: request(Bucket=self.store.bucket, **parameters), operation
            )
        except (ConflictError, IntegrityError):
            return True
        except OrchestratorError as error:
            if error.code in ("InvalidDigest", "InvalidRequest"):
                return True
            raise
        return False

    def _kept(self, key: str, refused: bool, fallback: str) -> tuple[Verdict, str]:
        """Judge a refused overwrite by what is stored, not by the answer alone."""
        intact = self.store.get(key).content == _FIRST
        if refused and intact:
            return Verdict.OK, "a second write is refused, and the first stays"
        return Verdict.WEAKER, f"If-None-Match is ignored, a second write wins: {fallback}"

    def _begin(self, key: str, body: bytes = _FIRST) -> tuple[str, StoredPart]:
        upload_id = self._multipart.create(key, "text/plain", DOUBLING)
        self._uploads.append((key, upload_id))
        digests = PartDigests(sha256(body), md5(body))
        part = Part(1, 0, len(body))
        return upload_id, self._multipart.upload_part(key, upload_id, part, body, digests)

    def _clean_up(self) -> None:
        for key, upload_id in self._uploads:
            self._multipart.abort_best_effort(key, upload_id)
        for listed in list(self.store.list_objects(execution_prefix(self.scratch_id))):
            with contextlib.suppress(OrchestratorError):
                self._call("delete_object", Key=listed.key)
        # In a versioned bucket that hides them only. Not everybody may do more.
        with contextlib.suppress(OrchestratorError):
            self._delete_versions()

    def _delete_versions(self) -> None:
        if self._call("get_bucket_versioning").get("Status") is None:
            return
        found = self._call("list_object_versions", Prefix=execution_prefix(self.scratch_id))
        for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            self._call("delete_object", Key=version["Key"], VersionId=version["VersionId"])


def _no_setting(error: OrchestratorError, code: str, detail: str) -> tuple[Verdict, str]:
    if isinstance(error, AccessError):
        return Verdict.INFO, "not visible with these credentials"
    if error.code == code:
        return Verdict.INFO, detail
    return Verdict.INFO, f"the server does not say ({error.code})"
