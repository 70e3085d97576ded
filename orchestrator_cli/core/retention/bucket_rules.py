"""Read a bucket's lifecycle configuration, write it, and make sure of what the server keeps.

S3 replaces the whole configuration at once and has no compare-and-swap for it, so whatever is
there is read right before, and what is there is read back right after.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.base.errors import ConflictError, NotFoundError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.retention.policy import (
    Configuration,
    LifecyclePlan,
    ReadbackDiff,
    diff_readback,
    same_configuration,
)
from orchestrator_cli.core.retention.rule import sendable
from orchestrator_cli.core.s3.checksum import md5, to_base64
from orchestrator_cli.core.s3.writer import ArtifactStore

# What boto3 reads into a rule. Whatever else a server keeps would be lost in writing it back.
_KNOWN_ELEMENTS = frozenset(
    "LifecycleConfiguration Rule ID Status Prefix Filter And Tag Key Value Transition Expiration "
    "Days Date StorageClass ExpiredObjectDeleteMarker NoncurrentVersionTransition NoncurrentDays "
    "NewerNoncurrentVersions NoncurrentVersionExpiration AbortIncompleteMultipartUpload "
    "DaysAfterInitiation ObjectSizeGreaterThan ObjectSizeLessThan "
    "TransitionDefaultMinimumObjectSize".split()
)
_ELEMENT = re.compile(rb"<(?:\w+:)?([A-Za-z]\w*)")
# AWS may answer with what was there before for some seconds.
_READ_BACKS = 5
_FIRST_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What the server keeps now; `size_filter_dropped` names rules that it keeps without."""

    kept: Configuration
    size_filter_dropped: tuple[str, ...]


class BucketLifecycle:
    """The lifecycle configuration of one bucket."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._is_aws = store.clients.is_aws
        self.name = store.bucket

    def read(self) -> Configuration:
        """Return what is there. Raises OrchestratorError where a part of it cannot be read."""
        seen: set[str] = set()
        try:
            answer = self._read(seen)
        except NotFoundError as error:
            if error.code != "NoSuchLifecycleConfiguration":
                raise
            return Configuration()
        unknown = sorted(seen - _KNOWN_ELEMENTS)
        if unknown:
            raise OrchestratorError(
                f"the bucket's lifecycle rules use {printable(', '.join(unknown))}, which this "
                "version would lose",
                hint="nothing was changed; change such rules with the server's own tools",
            )
        minimum = answer.get("TransitionDefaultMinimumObjectSize")
        return Configuration(tuple(answer.get("Rules", [])), minimum)

    def _read(self, seen: set[str]) -> Any:
        def note(response_dict: dict[str, Any], **_: Any) -> None:
            body = response_dict.get("body", b"")
            if response_dict.get("status_code") == 200:
                seen.update(name.decode() for name in _ELEMENT.findall(body))

        events = self._store.clients.boto.meta.events
        event = "before-parse.s3.GetBucketLifecycleConfiguration"
        events.register(event, note)
        try:
            return self._call("get_bucket_lifecycle_configuration", "read")
        finally:
            events.unregister(event, note)

    def apply(
        self, plan: LifecyclePlan, strict: bool, on_unsure: Callable[[Configuration], None]
    ) -> ApplyResult:
        """Give the bucket what the plan wants; where it keeps anything else, put back what it had.

        `on_unsure` gets the previous configuration where nobody can tell that it is back. Raises
        ConflictError where the bucket has changed since the plan was made, and where the server
        keeps other rules than it was sent.
        """
        if not same_configuration(plan.present, self.read()):
            raise ConflictError(
                "the bucket's lifecycle rules have changed meanwhile",
                hint="nothing was changed; run the same command again",
            )
        try:
            return self._apply(plan, strict)
        except _UnsureError as error:
            on_unsure(plan.present)
            raise error.cause from error

    def _apply(self, plan: LifecyclePlan, strict: bool) -> ApplyResult:
        failure: OrchestratorError | None = None
        try:
            self._write(plan.wanted)
        except OrchestratorError as error:
            # The answer may have been lost, or the server may have taken a part.
            failure = error
        try:
            kept = self._read_back(plan.wanted, None if failure else plan.present)
        except OrchestratorError as error:
            raise _UnsureError(failure or error) from error
        difference = diff_readback(plan.wanted, kept)
        if difference.other or (strict and difference.size_filter_dropped):
            failure = failure or _not_kept(difference)
            failure.hint = self._put_back(plan.present, kept, failure)
            raise failure
        return ApplyResult(kept, difference.size_filter_dropped)

    def _put_back(
        self, previous: Configuration, kept: Configuration, failure: OrchestratorError
    ) -> str:
        """Restore the previous configuration; return a hint that says so."""
        if same_configuration(previous, kept):
            return "nothing was changed"
        try:
            self._write(previous)
            restored = same_configuration(previous, self._read_back(previous, kept))
        except OrchestratorError as error:
            raise _UnsureError(failure) from error
        if not restored:
            raise _UnsureError(failure)
        return "the previous rules were put back"

    def _read_back(self, wanted: Configuration, stale: Configuration | None) -> Configuration:
        """Return what is there now, once that is not `stale` any more."""
        waits = [_FIRST_WAIT_SECONDS * 2**n for n in range(_READ_BACKS)] if self._is_aws else []
        kept = self.read()
        for seconds in waits:
            if stale is None or same_configuration(wanted, kept):
                break
            if not same_configuration(stale, kept):
                break
            self._store.retry.wait(seconds)
            kept = self.read()
        return kept

    def _write(self, configuration: Configuration) -> None:
        if not configuration.rules:
            self._call("delete_bucket_lifecycle", "removal")
            return
        parameters: dict[str, Any] = {
            "LifecycleConfiguration": {"Rules": [sendable(rule) for rule in configuration.rules]}
        }
        if configuration.default_minimum:
            minimum = configuration.default_minimum
            parameters["TransitionDefaultMinimumObjectSize"] = minimum
        events = self._store.clients.boto.meta.events
        event = "before-call.s3.PutBucketLifecycleConfiguration"
        events.register(event, _add_md5)
        try:
            self._call("put_bucket_lifecycle_configuration", "change", **parameters)
        finally:
            events.unregister(event, _add_md5)

    def _call(self, operation: str, what: str, **parameters: Any) -> Any:
        request = getattr(self._store.clients.boto, operation)
        return self._store.retry.call(
            lambda: request(Bucket=self._store.bucket, **parameters),
            f"{what} of the lifecycle rules of s3://{self._store.bucket}",
        )


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Add the digest that older servers ask for; boto3 sends newer ones only."""
    body = params["body"]
    data = body if isinstance(body, bytes) else str(body).encode()
    params["headers"]["Content-MD5"] = to_base64(md5(data))


class _UnsureError(Exception):
    """Nobody can tell what the bucket has now; `cause` is what is to be reported."""

    def __init__(self, cause: OrchestratorError) -> None:
        super().__init__(cause)
        self.cause = cause
        cause.hint = "the previous rules may be lost: they are printed above"


def _not_kept(difference: ReadbackDiff) -> ConflictError:
    found = [f"{rule_id}: without its size filter" for rule_id in difference.size_filter_dropped]
    found += difference.other
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    detail = "; ".join(found[:3]) + more
    return ConflictError(f"the server does not keep the rules it was sent: {detail}")
