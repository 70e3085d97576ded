"""A bucket of executions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import (
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import random_execution_id
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, build_metadata
from orchestrator_cli.core.executions.record.repository import create_execution, read_executions
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings, is_bucket_name
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.demands import BucketDemands
from orchestrator_cli.library.execution import Execution, utc_now
from orchestrator_cli.library.source import BucketSource

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter


def open_bucket(  # noqa: PLR0913 - each is a setting that the command line has too
    name: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    sse_kms_key_id: str | None = None,
    bucket_key: bool = True,
    expected_bucket_owner: str | None = None,
    storage_class: str | None = None,
    tags: Mapping[str, str] | None = None,
    requester_pays: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Bucket:
    """Open a bucket, without sending a request.

    Region, endpoint and credentials are found as AWS tools find them: in `environment`, in the AWS
    configuration files, from single sign-on, a container or an instance.

    Every object is stored with the KMS key `sse_kms_key_id` (`bucket_key` lets S3 keep a key of its
    own, which spares requests to KMS), in `storage_class` and with `tags`, where those are given. A
    bucket of another account than `expected_bucket_owner` is refused; with `requester_pays` these
    credentials pay for the requests. Raises UsageError for an invalid name, endpoint or setting.
    """
    if not is_bucket_name(name):
        raise UsageError(f"{printable(name)!r} is not a bucket name")
    demands = BucketDemands(
        kms_key=sse_kms_key_id,
        bucket_key=bucket_key,
        expected_owner=expected_bucket_owner,
        storage_class=storage_class,
        tags=tuple((tags or {}).items()),
        requester_pays=requester_pays,
    ).checked()
    settings = S3Settings(
        bucket=name,
        region=region,
        endpoint_url=endpoint_url,
        profile=profile,
        environment=environment,
        demands=demands,
    )
    return Bucket(ArtifactStore(S3Session(settings)))


class Bucket:
    """A bucket of executions. Safe to share between threads."""

    def __init__(self, store: ArtifactStore, clock: Callable[[], datetime] = utc_now) -> None:
        """Take the connection to a bucket, which `open_bucket` makes."""
        self._store = store
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Bucket {self._store.session.bucket}>"

    def new_execution(
        self,
        *,
        execution_id: str | None = None,
        suite: str | None = None,
        runner_type: str | None = None,
        bench_id: str | None = None,
        reservation_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Execution:
        """Make an execution, with a fresh ULID unless one is given.

        If the execution exists already, return it, and fill in fields that it left open. The
        attribute `created` of what is returned is the record. Everybody may read labels: if the
        name of a label sounds like a secret, its value is stored as `…`. Raises ConflictError if
        the execution declares something else, UsageError for what cannot be stored.
        """
        from orchestrator_cli.core.base.command_secrets import mask_labels

        now = self._clock()
        metadata = build_metadata(
            execution_id=execution_id or random_execution_id(now),
            reservation_id=reservation_id,
            runner_type=runner_type,
            bench_id=bench_id,
            test_suite=suite,
            started_at=now,
            labels=mask_labels(labels or {}, {}),
        )
        created = create_execution(self._store, metadata)
        return Execution(self._store, created.execution_id, self._clock, created)

    def execution(self, execution_id: str) -> Execution:
        """Return the execution that an ID stands for, in any form that commands take.

        That is a ULID or a unique prefix of one, the `s3://` URL of the execution or of a file in
        it, `@latest`, or `@latest:suite=smoke,result=fail`. Raises NotFoundError if none matches.
        A whole ULID is not looked up: a later call finds out whether the execution exists.
        """
        now = self._clock()
        found = BucketSource(self._store, now).resolve(execution_id, now)
        return Execution(self._store, found, self._clock)

    def executions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        wanted: ExecutionFilter | None = None,
    ) -> Iterator[ExecutionMetadata]:
        """Yield the records of executions that began in a window, the oldest first.

        `since` and `until` have a time zone; None means no limit. Executions whose record is
        missing or not valid are left out. Any other error of reading a record is raised, such as
        AccessError and UnavailableError. The cost depends on the window, not on the size of the
        bucket. Raises UsageError for a time without a zone.
        """
        for instant in filter(None, (since, until)):
            if instant.utcoffset() is None:
                raise UsageError(f"{instant} has no time zone", hint="such as datetime.UTC")
        found = list_execution_ids(self._store, since, until, now=self._clock())
        for _, metadata in read_executions(self._store, found):
            if isinstance(metadata, NotFoundError | IntegrityError):
                continue
            if isinstance(metadata, OrchestratorError):
                raise metadata
            if wanted is None or wanted.matches(metadata):
                yield metadata
