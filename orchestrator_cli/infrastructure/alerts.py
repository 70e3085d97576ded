"""Alert rules for Prometheus about this program's metrics."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator_cli.core.metrics.registry import (
    BACKLOG_FILES,
    DURATION,
    FAILURES,
    LAST_PASS,
    RETRIES,
)
from orchestrator_cli.infrastructure.yaml import render_yaml


class _Alert(NamedTuple):
    """An alert rule. It fires once `expression` has held for `duration`."""

    name: str
    expression: str
    duration: str
    severity: str
    summary: str


_ALERTS = (
    _Alert(
        "ArtifactsNotStored",
        expression=(
            "sum by (instance, command, reason) "
            f'(increase({FAILURES.name}{{reason!="conflict"}}[1h])) > 0'
        ),
        duration="0m",
        severity="warning",
        summary=(
            "{{ $labels.command }} on {{ $labels.instance }} could not store files "
            "({{ $labels.reason }})"
        ),
    ),
    _Alert(
        "ArtifactConflicts",
        expression=(
            f'sum by (instance, command) (increase({FAILURES.name}{{reason="conflict"}}[1h])) > 0'
        ),
        duration="0m",
        severity="info",
        summary=(
            "{{ $labels.command }} on {{ $labels.instance }} could not store files: "
            "other content is stored under their names"
        ),
    ),
    _Alert(
        "ArtifactUploadsSlow",
        expression=(
            "histogram_quantile(0.95, sum by (instance, command, le) "
            f"(rate({DURATION.name}_bucket[30m]))) > 300"
        ),
        duration="30m",
        severity="warning",
        summary=(
            "1 in 20 files that {{ $labels.command }} on {{ $labels.instance }} uploads takes "
            "longer than five minutes"
        ),
    ),
    _Alert(
        "ArtifactRequestsRetried",
        expression=f"sum by (instance) (increase({RETRIES.name}[30m])) > 100",
        duration="15m",
        severity="warning",
        summary=(
            "{{ $labels.instance }} has to repeat many requests to S3: S3 or the network is failing"
        ),
    ),
    _Alert(
        "EfsSyncBacklogGrows",
        expression=f"min_over_time({BACKLOG_FILES.name}[6h]) > 1000",
        duration="0m",
        severity="warning",
        summary="over 1,000 files have been waiting on {{ $labels.instance }} for six hours",
    ),
    _Alert(
        "EfsSyncStopped",
        expression=f"time() - {LAST_PASS.name} > 3600",
        duration="5m",
        severity="critical",
        summary="sync-efs on {{ $labels.instance }} has not completed a pass for over an hour",
    ),
)


def render_alerts() -> str:
    """Return the rules as a file for Prometheus' `rule_files`."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.duration,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary},
        }
        for alert in _ALERTS
    ]
    return render_yaml({"groups": [{"name": "orchestrator", "rules": rules}]})
