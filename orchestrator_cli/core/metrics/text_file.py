"""Metrics in a file of Prometheus' text format, as the node exporter's textfile collector reads.

Runs add up in one file: it is read, merged and replaced under a lock beside it. prometheus-client,
an extra, parses and writes the format.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.lock import lock_file
from orchestrator_cli.core.files.new_file import create_atomically, write_all
from orchestrator_cli.core.metrics.registry import (
    METRICS,
    Distribution,
    Kind,
    Metric,
    MetricsSnapshot,
    Series,
    series_of,
)

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

# A merge takes milliseconds; whoever holds the lock for longer hangs.
_LOCK_SECONDS = 5.0
_MOST_BYTES = 4 * 1024 * 1024


def require_prometheus() -> None:
    """Raise UsageError where the extra is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "metrics need prometheus-client", hint="pip install 'orchestrator-cli[metrics]'"
        ) from error


def add_to_file(path: Path, measured: MetricsSnapshot) -> None:
    """Add what was measured to a file, which is made where there is none.

    Readers see the file before or after, never between. Raises OrchestratorError, and leaves the
    file as it is, where it cannot be written or holds anything but this tool's metrics.
    """
    try:
        with locked(path) as directory:
            merged = _read(directory, path.name)
            merged.merge(measured)
            with create_atomically(directory, path.name, replace=True) as file:
                write_all(file, render(merged))
    except OSError as error:
        raise OrchestratorError(f"cannot write {printable(path)}: {error.strerror}") from error
    except ValueError as error:
        raise OrchestratorError(
            f"{printable(path)} holds what this tool did not write: {printable(error)}; "
            "it is left as it is"
        ) from error


def render(measured: MetricsSnapshot, metrics: tuple[Metric, ...] = METRICS) -> bytes:
    """Return the text exposition of these metrics."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(measured, metrics))
    return generate_latest(registry)


def parse(text: str) -> MetricsSnapshot:
    """Parse what `render` wrote. Raises ValueError for anything else."""
    from prometheus_client.parser import text_string_to_metric_families

    known = {metric.name.removesuffix("_total"): metric for metric in METRICS}
    measured = MetricsSnapshot()
    for family in text_string_to_metric_families(text):
        name = family.name.removesuffix("_total")
        metric = known.get(name)
        if metric is None or family.type != metric.kind:
            raise ValueError(f"the {family.type} {family.name}")
        _take_family(measured, metric, family)
    return measured


def _take_family(measured: MetricsSnapshot, metric: Metric, family: Family) -> None:
    bounds = {bound: place for place, bound in enumerate((*metric.buckets, math.inf))}
    cumulated: dict[Series, list[float | None]] = {}
    for sample in family.samples:
        value = float(sample.value)
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        if set(labels) != set(metric.labels) or not value >= 0 or math.isinf(value):
            raise ValueError(f"{sample.name} {sample.labels} {sample.value}")
        series = (metric.name, tuple(labels[name] for name in metric.labels))
        if metric.kind is Kind.COUNTER:
            measured.counters[series] = value
        elif metric.kind is Kind.GAUGE:
            measured.gauges[series] = value
        elif bound is not None:
            if float(bound) not in bounds:
                raise ValueError(f"{sample.name} with le={bound}")
            cumulated.setdefault(series, [None] * len(bounds))[bounds[float(bound)]] = value
        elif sample.name.endswith("_sum"):
            distribution = measured.histograms.setdefault(series, Distribution([]))
            distribution.total = value
    _take_buckets(measured, cumulated)


def _take_buckets(measured: MetricsSnapshot, cumulated: dict[Series, list[float | None]]) -> None:
    for series, counts in cumulated.items():
        below = 0.0
        distribution = measured.histograms.setdefault(series, Distribution([]))
        for count in counts:
            if count is None or count < below:
                raise ValueError(f"the buckets of {series[0]}")
            distribution.counts.append(count - below)
            below = count
    for series, distribution in measured.histograms.items():
        if not distribution.counts:
            raise ValueError(f"{series[0]} without buckets")


class _Collector:
    """Hands values to prometheus-client."""

    def __init__(self, measured: MetricsSnapshot, metrics: tuple[Metric, ...]) -> None:
        self._measured = measured
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        """Yield a family for each metric that has a value."""
        for metric in self._metrics:
            family = _family(metric, self._measured)
            if family.samples:
                yield family


def _family(metric: Metric, measured: MetricsSnapshot) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    named = (metric.name, metric.meaning)
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(*named, labels=metric.labels)
        for series, distribution in series_of(metric, measured.histograms):
            histogram.add_metric(
                series, _cumulated(metric, distribution), sum_value=distribution.total
            )
        return histogram
    if metric.kind is Kind.COUNTER:
        counter = CounterMetricFamily(*named, labels=metric.labels)
        for labels, value in series_of(metric, measured.counters):
            counter.add_metric(labels, value)
        return counter
    gauge = GaugeMetricFamily(*named, labels=metric.labels)
    for labels, value in series_of(metric, measured.gauges):
        gauge.add_metric(labels, value)
    return gauge


def _cumulated(metric: Metric, distribution: Distribution) -> list[tuple[str, float]]:
    buckets, below = [], 0.0
    for bound, count in zip((*metric.buckets, math.inf), distribution.counts, strict=True):
        below += count
        buckets.append(("+Inf" if math.isinf(bound) else str(bound), below))
    return buckets


def _read(directory: Directory, name: str) -> MetricsSnapshot:
    try:
        content = read_exposition(directory, name)
    except FileNotFoundError:
        return MetricsSnapshot()
    if content and not content.endswith(b"\n"):
        raise ValueError("its last line is cut")
    return parse(content.decode())


def read_exposition(directory: Directory, name: str) -> bytes:
    """Read a file of metrics. Raises OSError, and ValueError for one that is too large."""
    with io.BufferedReader(directory.open_file(name)) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too large")
    return content


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Directory]:
    """Hold the lock of a file, in its directory. The kernel drops it when its holder dies.

    Nothing that was planted there is followed, waited for or written to. Raises BlockingIOError
    where another process holds it for seconds, and other OSError.
    """
    with (
        Directory.open_root(path.parent) as directory,
        lock_file(directory, f".{path.name}.lock", _LOCK_SECONDS),
    ):
        yield directory
