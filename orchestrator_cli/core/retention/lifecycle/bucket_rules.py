"""Read a bucket's lifecycle configuration, write it, and compare it with what the server keeps.

S3 replaces the whole configuration at once and has no compare-and-swap for it, so whatever is
there is read right before, and what is there is read back right after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import islice
from typing import Any

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UnsupportedError,
    UsageError,
)
from orchestrator_cli.core.base.retry import growing_waits
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.retention.lifecycle.configuration import (
    Configuration,
    LifecyclePlan,
    ReadbackDiff,
    diff_readback,
    same_configuration,
)
from orchestrator_cli.core.retention.lifecycle.rule import to_api_form
from orchestrator_cli.core.s3.bucket.settings import call_boto, read_setting
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import md5, to_base64

# What boto3 reads into a rule. Whatever else a server keeps would be lost in writing it back.
_KNOWN_ELEMENTS = frozenset(
    "LifecycleConfiguration Rule ID Status Prefix Filter And Tag Key Value Transition Expiration "
    "Days Date StorageClass ExpiredObjectDeleteMarker NoncurrentVersionTransition NoncurrentDays "
    "NewerNoncurrentVersions NoncurrentVersionExpiration AbortIncompleteMultipartUpload "
    "DaysAfterInitiation ObjectSizeGreaterThan ObjectSizeLessThan "
    "TransitionDefaultMinimumObjectSize".split()
)
# AWS may answer with what was there before for some seconds.
_READ_BACKS = 5
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0
# Nobody can tell which rules the bucket has now.
_MAY_BE_LOST = "the previous rules may be lost: they are printed above"


class BucketLifecycle:
    """The lifecycle configuration of one bucket."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._is_aws = store.session.is_aws
        self.name = store.bucket

    def read(self) -> Configuration:
        """Return the rules that the bucket has.

        Raises UsageError where the server has no lifecycle rules at all, and OrchestratorError
        where a part of them cannot be read.
        """
        what = f"read of the lifecycle rules of s3://{self.name}"
        operation = "get_bucket_lifecycle_configuration"
        try:
            setting = read_setting(self._store, operation, "LifecycleConfiguration", what)
        except UnsupportedError as error:
            raise UsageError(
                "this server has no lifecycle rules",
                hint="nothing was changed; delete old files with the server's own tools",
            ) from error
        except NotFoundError as error:
            if error.code != "NoSuchLifecycleConfiguration":
                raise
            return Configuration()
        unknown = sorted(setting.elements - _KNOWN_ELEMENTS)
        if unknown:
            raise OrchestratorError(
                f"the bucket's lifecycle rules use {printable(', '.join(unknown))}, which this "
                "version would lose",
                hint="nothing was changed; change such rules with the server's own tools",
            )
        minimum = setting.response.get("TransitionDefaultMinimumObjectSize")
        return Configuration(tuple(setting.response.get("Rules", [])), minimum)

    def apply(
        self, plan: LifecyclePlan, strict: bool, on_indeterminate: Callable[[Configuration], None]
    ) -> tuple[str, ...]:
        """Write the rules of the plan; where the server keeps anything else, put the old ones back.

        Returns the IDs of the rules that the server has without their size filter.
        `on_indeterminate` gets the previous configuration where it may not be back. Raises
        ConflictError where the bucket has changed since the plan was made, and where the server
        keeps other rules than it was sent.
        """
        if not same_configuration(plan.present, self.read()):
            raise ConflictError(
                "the bucket's lifecycle rules have changed meanwhile",
                hint="nothing was changed; run the same command again",
            )
        failure: OrchestratorError | None = None
        try:
            self._write(plan.wanted)
        except OrchestratorError as error:
            # The response may have been lost, or the server may have taken a part.
            failure = error
        try:
            kept = self._read_back(plan.wanted, None if failure else plan.present)
        except OrchestratorError as error:
            on_indeterminate(plan.present)
            failure = failure or error
            failure.hint = _MAY_BE_LOST
            raise failure from error
        difference = diff_readback(plan.wanted, kept)
        if difference.other or (strict and difference.size_filter_dropped):
            failure = failure or _not_kept(difference)
            failure.hint = self._put_back(plan.present, kept)
            if failure.hint == _MAY_BE_LOST:
                on_indeterminate(plan.present)
            raise failure
        return difference.size_filter_dropped

    def _put_back(self, previous: Configuration, kept: Configuration) -> str:
        """Write the previous configuration again; return the hint that says what has become."""
        if same_configuration(previous, kept):
            return "nothing was changed"
        with contextlib.suppress(OrchestratorError):
            self._write(previous)
            if same_configuration(previous, self._read_back(previous, kept)):
                return "the previous rules were put back"
        return _MAY_BE_LOST

    def _read_back(self, wanted: Configuration, stale: Configuration | None) -> Configuration:
        """Return the rules that the bucket has now, once they are not those of `stale` any more."""
        waits = growing_waits(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        kept = self.read()
        for seconds in islice(waits, _READ_BACKS if self._is_aws else 0):
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
            "LifecycleConfiguration": {"Rules": [to_api_form(rule) for rule in configuration.rules]}
        }
        if configuration.default_minimum:
            minimum = configuration.default_minimum
            parameters["TransitionDefaultMinimumObjectSize"] = minimum
        events = self._store.session.boto.meta.events
        event = "before-call.s3.PutBucketLifecycleConfiguration"
        events.register(event, _add_md5)
        try:
            self._call("put_bucket_lifecycle_configuration", "change", **parameters)
        finally:
            events.unregister(event, _add_md5)

    def _call(self, operation: str, what: str, **parameters: Any) -> Any:
        what = f"{what} of the lifecycle rules of s3://{self.name}"
        return call_boto(self._store, operation, what, **parameters)


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Add the digest that older servers ask for; boto3 sends newer ones only."""
    body = params["body"]
    data = body if isinstance(body, bytes) else str(body).encode()
    params["headers"]["Content-MD5"] = to_base64(md5(data))


def _not_kept(difference: ReadbackDiff) -> ConflictError:
    found = [f"{rule_id}: without its size filter" for rule_id in difference.size_filter_dropped]
    found += difference.other
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    detail = "; ".join(found[:3]) + more
    return ConflictError(f"the server does not keep the rules it was sent: {detail}")
