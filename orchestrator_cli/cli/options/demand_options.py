"""The options that say what the bucket demands of every request."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.cli.options.common import add_options
from orchestrator_cli.cli.options.types import LABEL
from orchestrator_cli.core.s3.demands import WRITABLE_CLASSES, BucketDemands

_OPTIONS = (
    click.option(
        "--sse-kms-key-id", metavar="KEY", help="Encrypt what is stored with this key of KMS."
    ),
    click.option(
        "--bucket-key/--no-bucket-key",
        default=True,
        help="Whether S3 may use a bucket key, which spares requests to KMS.",
    ),
    click.option(
        "--expected-bucket-owner", metavar="ACCOUNT", help="Refuse a bucket of another account."
    ),
    click.option(
        "--storage-class",
        type=click.Choice(WRITABLE_CLASSES),
        metavar="CLASS",
        help=f"The storage class of what is stored: {', '.join(WRITABLE_CLASSES[:-1])} or "
        f"{WRITABLE_CLASSES[-1]}.",
    ),
    click.option(
        "--tag",
        type=LABEL,
        multiple=True,
        help="A tag of each object that is stored, for cost allocation; may be repeated.",
    ),
    click.option(
        "--request-payer",
        type=click.Choice(["requester"]),
        help="Pay for the requests, where the bucket's owner does not.",
    ),
)


def demand_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the function is given them as `demands`."""

    @functools.wraps(function)
    def with_demands(*args: Any, **given: Any) -> Any:
        demands = BucketDemands(
            kms_key=given.pop("sse_kms_key_id"),
            bucket_key=given.pop("bucket_key"),
            expected_owner=given.pop("expected_bucket_owner"),
            storage_class=given.pop("storage_class"),
            tags=tuple(given.pop("tag")),
            requester_pays=given.pop("request_payer") is not None,
        ).checked()
        return function(*args, demands=demands, **given)

    return add_options(with_demands, _OPTIONS)
