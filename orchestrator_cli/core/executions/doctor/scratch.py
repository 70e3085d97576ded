"""Scratch keys of one random execution id, and what the probes do with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.executions.keys import (
    artifact_key,
    derived_prefix,
    execution_prefix,
    live_prefix,
)
from orchestrator_cli.core.http.transport import Request
from orchestrator_cli.core.s3.bucket.settings import call_boto
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import md5, sha256
from orchestrator_cli.core.s3.operations.multipart import (
    PartDigests,
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    upload_part,
)
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.part_plan import DOUBLING, Part

FIRST, SECOND = b"orchestrator doctor: first", b"orchestrator doctor: second"
TEXT = "text/plain"
# The id of an upload that does not exist: to use it takes a permission and changes nothing.
NO_UPLOAD = "doctor-asks-whether-it-may-write"
_REFUSED_CODES = frozenset({"InvalidDigest", "InvalidRequest"})


@contextlib.contextmanager
def only_denials_raised() -> Iterator[None]:
    """Suppress all errors but AccessError and UnavailableError.

    For a request about something that does not exist: whatever else it fails with, the permission
    is there.
    """
    try:
        yield
    except (AccessError, UnavailableError):
        raise
    except OrchestratorError:
        pass


@dataclass
class Scratch:
    """Scratch keys of one random execution id, and what the probes do with them.

    `deletable` are the prefixes below which deleting is allowed; nothing is stored elsewhere. It
    and `can_store` and `can_abort` are set by the probes that find out.
    """

    store: ArtifactStore
    execution_id: str
    now: Callable[[], datetime]
    deletable: set[str] = field(default_factory=set)
    can_store: bool = False
    can_abort: bool = False
    _uploads: list[tuple[str, str]] = field(default_factory=list)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes under which probes make scratch objects."""
        return (
            execution_prefix(self.execution_id),
            live_prefix(self.execution_id),
            derived_prefix(self.execution_id),
        )

    @property
    def can_upload(self) -> bool:
        """True where a multipart upload can be begun and ended again."""
        return self.can_store and self.can_abort

    def may_delete(self, key: str) -> bool:
        """Return True where a scratch object can be removed again."""
        return any(key.startswith(prefix) for prefix in self.deletable)

    def key(self, name: str) -> str:
        """Return a scratch key among the artifacts."""
        return artifact_key(self.execution_id, f"artifacts/custom/doctor/{name}")

    def call(self, operation: str, **parameters: Any) -> Any:
        """Send a request of boto3's client under the retry policy and return its response."""
        return call_boto(self.store, operation, **parameters)

    def put_is_refused(self, key: str, body: bytes, **parameters: Any) -> bool:
        """Send a create-only put that must fail; return True where the server refuses it."""
        if self.store.server.creates_atomically:
            parameters["IfNoneMatch"] = "*"
        put = self.store.session.boto.put_object
        try:
            self.store.retry.once(
                lambda: put(Bucket=self.store.bucket, Key=key, Body=body, **parameters), "put"
            )
        except (ConflictError, IntegrityError):
            return True
        except OrchestratorError as error:
            if error.code in _REFUSED_CODES:
                return True
            raise
        return False

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a GET without credentials; return the status and the body."""
        response = self.store.connection.transport.send(Request("GET", url, headers or {}))
        return response.status, response.body

    def begin_upload(self, key: str, body: bytes) -> tuple[str, StoredPart]:
        """Begin a multipart upload and send its only part; return the upload id and the part."""
        upload_id = self.store.run(create_multipart_upload(key, TEXT, DOUBLING))
        self._uploads.append((key, upload_id))
        return upload_id, self.send_part(key, upload_id, body)

    def upload_in_parts(self, key: str, body: bytes) -> None:
        """Store an object by a multipart upload. Raises ConflictError where the key is taken."""
        upload_id, part = self.begin_upload(key, body)
        server = self.store.server
        self.store.run(complete_multipart_upload(server, key, upload_id, [part], len(body)))

    def send_part(self, key: str, upload_id: str, body: bytes) -> StoredPart:
        """Send the first part of an upload. Raises NotFoundError where there is no such upload."""
        part, digests = Part(1, 0, len(body)), PartDigests(sha256(body), md5(body))
        server = self.store.server
        return self.store.run(upload_part(server, key, upload_id, part, body, digests))

    def clean_up(self) -> None:
        """Remove everything that the probes stored."""
        for key, upload_id in self._uploads:
            with contextlib.suppress(OrchestratorError):
                self.store.run(abort_multipart_upload(key, upload_id))
        for prefix in sorted(self.deletable):
            with contextlib.suppress(OrchestratorError):
                for listed in list(self.store.list_objects(prefix)):
                    self.call("delete_object", Key=listed.key)
            # In a versioned bucket that only hides them. Not everybody may do more.
            with contextlib.suppress(OrchestratorError):
                self._delete_versions(prefix)

    def _delete_versions(self, prefix: str) -> None:
        if self.call("get_bucket_versioning").get("Status") is None:
            return
        found = self.call("list_object_versions", Prefix=prefix)
        for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            self.call("delete_object", Key=version["Key"], VersionId=version["VersionId"])
