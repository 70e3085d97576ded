"""What one command has counted, as plain data, and the recorder that counts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator_cli.core.base.errors import REASONS, OrchestratorError
from orchestrator_cli.core.metrics.registry import (
    DURATION,
    FAILURES,
    RESUMED,
    RETRIES,
    SIZE,
    Metric,
)
from orchestrator_cli.core.s3.types import UploadResult

T = TypeVar("T")

# Of one histogram, while no destination takes them.
_MOST_OBSERVATIONS = 1_000_000
# Metric name and label values in the metric's order.
Series = tuple[str, tuple[str, ...]]


@dataclass
class MetricsSnapshot:
    """What one command has counted. Counters add up, gauges are replaced.

    `observations` are the single values of histograms; the oldest are dropped where a destination
    has taken none for very long.
    """

    counters: dict[Series, float] = field(default_factory=dict)
    gauges: dict[Series, float] = field(default_factory=dict)
    observations: dict[Series, list[float]] = field(default_factory=dict)

    def count(self, metric: Metric, labels: tuple[str, ...], amount: float = 1) -> None:
        """Add to a counter."""
        series = (metric.name, labels)
        self.counters[series] = self.counters.get(series, 0) + amount

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Add one value to a histogram."""
        self.observations.setdefault((metric.name, labels), []).append(value)

    def merge(self, newer: MetricsSnapshot) -> None:
        """Add what was measured later."""
        for series, amount in newer.counters.items():
            self.counters[series] = self.counters.get(series, 0) + amount
        for series, values in newer.observations.items():
            kept = self.observations.setdefault(series, [])
            kept += values
            del kept[:-_MOST_OBSERVATIONS]
        self.gauges.update(newer.gauges)

    def to_list(self) -> list[Any]:
        """Return the JSON-ready form."""
        parts = (self.counters, self.gauges, self.observations)
        return [[[*series, value] for series, value in part.items()] for part in parts]

    @classmethod
    def from_list(cls, content: list[Any]) -> MetricsSnapshot:
        """Return what `to_list` made plain."""
        return cls(
            *({(name, tuple(labels)): value for name, labels, value in part} for part in content)
        )


def iter_series(metric: Metric, values: dict[Series, T]) -> Iterator[tuple[tuple[str, ...], T]]:
    """Yield the label values and the value of each series of a metric, in order."""
    for (name, labels), value in sorted(values.items(), key=lambda item: item[0]):
        if name == metric.name:
            yield labels, value


class MetricsRecorder:
    """Counts what one command does; any thread may call it."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._measured = self._nothing()

    def uploaded(self, result: UploadResult, seconds: float | None) -> None:
        """Count a file; its duration where `seconds` says it."""
        with self._lock:
            if result.resumed_bytes:
                self._measured.count(RESUMED, (self._command,), result.resumed_bytes)
            if result.error is not None:
                self._measured.count(FAILURES, (self._command, reason_of(result.error)))
            elif result.stored:
                labels = (self._command, str(result.outcome))
                if seconds is not None:
                    self._measured.observe(DURATION, labels, seconds)
                self._measured.observe(SIZE, labels, result.size_bytes)

    def failed(self, error: OrchestratorError) -> None:
        """Count an error that ended everything."""
        with self._lock:
            self._measured.count(FAILURES, (self._command, reason_of(error)))

    def retry(self, error: OrchestratorError) -> None:
        """Count a request that is sent again because of an error."""
        with self._lock:
            self._measured.count(RETRIES, (self._command, reason_of(error)))

    def set_gauge(self, metric: Metric, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._measured.gauges[metric.name, ()] = value

    def drain(self) -> MetricsSnapshot:
        """Return what was counted since the last time, and count from zero."""
        with self._lock:
            taken, self._measured = self._measured, self._nothing()
        return taken

    def restore(self, taken: MetricsSnapshot) -> None:
        """Keep for the next time what could not be written."""
        with self._lock:
            taken.merge(self._measured)
            self._measured = taken

    def _nothing(self) -> MetricsSnapshot:
        # increase() sees a first failure only where there was a zero before.
        zeros: dict[Series, float] = {
            (FAILURES.name, (self._command, reason)): 0 for reason in REASONS.values()
        }
        return MetricsSnapshot(zeros)


def reason_of(error: OrchestratorError) -> str:
    """Return the word that stands for an error in labels."""
    return REASONS.get(error.exit_code, REASONS[1])
