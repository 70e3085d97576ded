"""Scale the product down for tests: small parts, short waits, clients that are made quickly.

The sizes are no settings of the product, so the tests change its constants: in their own process
for one test, or for good in a process that runs nothing else (`forkserver`). The server must take
such small parts too: moto does where `S3_UPLOAD_PART_MIN_SIZE` says so.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

PART_BYTES = 64 * 1024
DOUBLING = f"doubling-{PART_BYTES}-1000"
MIN_PART_BYTES = 1024

Patch = Callable[[Any, str, Any], None]


def shrink(patch: Patch = setattr) -> None:
    """Make parts small, wherever a module of the library holds their size."""
    values = _small_values()
    for module in _core_modules():
        for name, value in values.items():
            if hasattr(module, name):
                patch(module, name, value)


def hurry(patch: Patch = setattr, patience_seconds: float = 0.5) -> None:
    """Make retries quick, and give up so long after the last success where they are throttled."""
    retry = importlib.import_module("orchestrator_cli.core.base.retry")
    policy = retry.RetryPolicy
    quick = functools.partial(
        policy.func if isinstance(policy, functools.partial) else policy,
        first_wait_seconds=0.002,
        longest_wait_seconds=0.02,
        patience_seconds=patience_seconds,
    )
    patch(retry, "RetryPolicy", quick)


def _small_values() -> dict[str, Any]:
    from orchestrator_cli.core.s3 import part_plan as parts

    sizes = range(parts.MAX_PARTS // parts.PARTS_PER_SIZE)
    return {
        "BASE_PART_BYTES": PART_BYTES,
        "DOUBLING": DOUBLING,
        "MAX_STREAM_BYTES": sum(parts.PARTS_PER_SIZE * (PART_BYTES << step) for step in sizes),
        "IN_FLIGHT_BYTES": 8 * PART_BYTES,
        "RANGE_BYTES": PART_BYTES // 2,
    }


@functools.cache
def _core_modules() -> list[ModuleType]:
    import orchestrator_cli.core

    found = pkgutil.walk_packages(orchestrator_cli.core.__path__, "orchestrator_cli.core.")
    return [importlib.import_module(module.name) for module in found]


def share_client_data() -> None:
    """Let all boto3 sessions share what they load from disk: a client then takes 10 ms, not 90."""
    import boto3
    import botocore.session
    from botocore.loaders import create_loader

    loader = create_loader()
    botocore.session.create_loader = lambda *_: loader
    session = boto3.Session(
        aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1"
    )
    session.client("s3")
