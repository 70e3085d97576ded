"""Alert rules for Prometheus, over what the metrics count."""

from __future__ import annotations

from orchestrator_cli.core.metrics.registry import (
    BACKLOG_FILES,
    DURATION,
    FAILURES,
    LAST_PASS,
    RETRIES,
)
from orchestrator_cli.infrastructure.yaml import render_yaml

# Name, expression, how long it must hold, severity, what it means.
_ALERTS = (
    (
        "ArtifactsNotStored",
        (
            "sum by (instance, command, reason) "
            f'(increase({FAILURES.name}{{reason!="conflict"}}[1h]))'
            " > 0"
        ),
        "0m",
        "warning",
        (
            "{{ $labels.command }} on {{ $labels.instance }} could not store files: "
            "{{ $labels.reason }}"
        ),
    ),
    (
        "ArtifactConflicts",
        f'sum by (instance, command) (increase({FAILURES.name}{{reason="conflict"}}[1h])) > 0',
        "0m",
        "info",
        "{{ $labels.command }} on {{ $labels.instance }} found other content under its names",
    ),
    (
        "ArtifactUploadsSlow",
        (
            "histogram_quantile(0.95, sum by (instance, command, le) "
            f"(rate({DURATION.name}_bucket[30m]))) > 300"
        ),
        "30m",
        "warning",
        "one of twenty files from {{ $labels.instance }} takes over five minutes",
    ),
    (
        "ArtifactRequestsRetried",
        f"sum by (instance) (increase({RETRIES.name}[30m])) > 100",
        "15m",
        "warning",
        "S3 or the way to it fails again and again for {{ $labels.instance }}",
    ),
    (
        "EfsSyncBacklogGrows",
        f"min_over_time({BACKLOG_FILES.name}[6h]) > 1000",
        "0m",
        "warning",
        "over 1,000 files have waited for six hours on {{ $labels.instance }}",
    ),
    (
        "EfsSyncStopped",
        f"time() - {LAST_PASS.name} > 3600",
        "5m",
        "critical",
        "no pass of sync-efs has succeeded on {{ $labels.instance }} for over an hour",
    ),
)


def render_alerts() -> str:
    """Return the rules as a file for Prometheus' `rule_files`."""
    rules = [
        {
            "alert": name,
            "expr": expression,
            "for": lasting,
            "labels": {"severity": severity},
            "annotations": {"summary": summary},
        }
        for name, expression, lasting, severity, summary in _ALERTS
    ]
    return render_yaml({"groups": [{"name": "orchestrator", "rules": rules}]})
