"""The bucket and the region that go into every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App

if TYPE_CHECKING:
    from orchestrator_cli.infrastructure.target import BucketTarget


def bucket_target(app: App) -> BucketTarget:
    """Return the configured bucket and region. Raises UsageError where one of them is missing."""
    from orchestrator_cli.infrastructure.target import BucketTarget

    return BucketTarget(app.connections.bucket, app.connections.region)
