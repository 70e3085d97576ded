"""The metrics: names, types, meanings, labels and buckets. Another metric is one more here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """A type of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `buckets` are a histogram's upper bounds, without +Inf."""

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


DURATION = Metric(
    "artifact_upload_duration",
    MetricKind.HISTOGRAM,
    "Seconds to store a file; streams last as long as their writer and have none.",
    ("command", "outcome"),
    (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0),
)
SIZE = Metric(
    "artifact_size_bytes",
    MetricKind.HISTOGRAM,
    "Size of each stored file.",
    ("command", "outcome"),
    tuple(float(1024 * 4**power) for power in range(15)),
)
FAILURES = Metric(
    "artifact_failures_total",
    MetricKind.COUNTER,
    "Files that were not stored.",
    ("command", "reason"),
)
RETRIES = Metric(
    "artifact_retries_total",
    MetricKind.COUNTER,
    "Requests to S3 that were sent again.",
    ("command", "reason"),
)
RESUMED = Metric(
    "artifact_resumed_bytes_total",
    MetricKind.COUNTER,
    "Bytes that an earlier, interrupted upload had stored already.",
    ("command",),
)
BACKLOG_FILES = Metric(
    "efs_sync_backlog_files",
    MetricKind.GAUGE,
    "Files that the last complete pass left to the next one: still written, or failed.",
    (),
)
LAST_PASS = Metric(
    "efs_sync_last_pass_timestamp_seconds",
    MetricKind.GAUGE,
    "When the last complete pass ended, in Unix time.",
    (),
)
METRICS = (DURATION, SIZE, FAILURES, RETRIES, RESUMED, BACKLOG_FILES, LAST_PASS)
