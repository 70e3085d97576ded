"""A bucket of executions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from orchestrator_cli.core.base.command_secrets import mask_labels
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.executions.filters import ExecutionFilter
from orchestrator_cli.core.executions.ids import new_execution_id
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, build_metadata
from orchestrator_cli.core.executions.record.repository import create_execution, read_executions
from orchestrator_cli.core.executions.selector import resolve_execution_id
from orchestrator_cli.core.http.proxy import proxy_variables
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.session import S3Session, S3Settings
from orchestrator_cli.core.s3.demands import BucketDemands
from orchestrator_cli.library.execution import Execution


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
    """Open a bucket. Nothing is sent before something is asked of it.

    Region, endpoint and credentials are found as AWS tools find them: in `environment`, in the AWS
    configuration files, from single sign-on, a container or an instance.

    Every object is stored with the KMS key `sse_kms_key_id` (`bucket_key` lets S3 keep a key of its
    own, which spares requests to KMS), in `storage_class` and with `tags`, where those are given. A
    bucket of another account than `expected_bucket_owner` is refused; with `requester_pays` these
    credentials pay for the requests. Raises UsageError for what cannot be a bucket, an endpoint or
    one of these.
    """
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
        proxies=proxy_variables(environment),
        demands=demands,
    )
    return Bucket(settings)


class Bucket:
    """A bucket of executions. Safe to share between threads."""

    def __init__(self, settings: S3Settings) -> None:
        """Take the settings; `open_bucket` makes them."""
        self._store = ArtifactStore(S3Session(settings))

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

        One that exists already is returned, with what it left open filled in. Labels are for
        everybody to read: the value of one that is named like a secret is stored as `…`. Raises
        ConflictError where it declares something else, UsageError for what cannot be stored.
        """
        now = datetime.now(UTC)
        metadata = build_metadata(
            execution_id=execution_id or new_execution_id(now, secrets.token_bytes(10)),
            reservation_id=reservation_id,
            runner_type=runner_type,
            bench_id=bench_id,
            test_suite=suite,
            started_at=now,
            labels=mask_labels(labels or {}, {}),
        )
        return Execution(self._store, create_execution(self._store, metadata).execution_id)

    def execution(self, execution_id: str) -> Execution:
        """Return the execution of a ULID, of a unique beginning of one, or `@latest`.

        Raises NotFoundError where a beginning or `@latest` stands for none. A whole ULID is taken
        as it is: whether there is such an execution is found out when something is asked of it.
        """
        found = resolve_execution_id(self._store, execution_id, datetime.now(UTC))
        return Execution(self._store, found)

    def executions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        wanted: ExecutionFilter | None = None,
    ) -> Iterator[ExecutionMetadata]:
        """Yield the records of executions that began in a window, the oldest first.

        `since` and `until` have a time zone; None is open. An execution whose record is missing or
        not valid is left out; raises what else keeps a record from being read, as AccessError and
        UnavailableError. The cost follows the window, not the bucket.
        """
        found = list_execution_ids(self._store, since, until, now=datetime.now(UTC))
        for _, metadata in read_executions(self._store, found):
            if isinstance(metadata, OrchestratorError):
                if metadata.is_inconclusive:
                    raise metadata
                continue
            if wanted is None or wanted.matches(metadata):
                yield metadata
