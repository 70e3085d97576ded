"""The totals of all commands so far, in Prometheus' text format.

prometheus-client, an extra, parses and writes the format.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from orchestrator_cli.core.metrics.recorder import MetricsSnapshot, Series, iter_series
from orchestrator_cli.core.metrics.registry import METRICS, Metric, MetricKind

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


@dataclass
class Histogram:
    """How many values fell into each bucket, one above all included; and their sum."""

    counts: list[float]
    total: float = 0.0


@dataclass
class Totals:
    """Values by series. It serves prometheus-client as a registry, of which that only collects."""

    counters: dict[Series, float] = field(default_factory=dict)
    gauges: dict[Series, float] = field(default_factory=dict)
    histograms: dict[Series, Histogram] = field(default_factory=dict)

    def add(self, snapshot: MetricsSnapshot) -> None:
        """Add what one command has counted; gauges are replaced."""
        for series, amount in snapshot.counters.items():
            self.counters[series] = self.counters.get(series, 0) + amount
        self.gauges.update(snapshot.gauges)
        for metric in METRICS:
            for labels, values in iter_series(metric, snapshot.observations):
                empty = Histogram([0.0] * (len(metric.buckets) + 1))
                histogram = self.histograms.setdefault((metric.name, labels), empty)
                for value in values:
                    histogram.counts[bisect_left(metric.buckets, value)] += 1
                histogram.total += sum(values)

    def collect(self) -> Iterator[Any]:
        """Yield a family of prometheus-client for each metric that has a value."""
        families = (_family(metric, self) for metric in METRICS)
        return (family for family in families if family.samples)


def render(totals: Totals) -> bytes:
    """Return the text exposition of these totals."""
    from prometheus_client import generate_latest

    return generate_latest(cast("Any", totals))


def parse(text: str) -> Totals:
    """Parse what `render` wrote. Raises ValueError for anything else."""
    from prometheus_client.parser import text_string_to_metric_families

    known = {metric.name.removesuffix("_total"): metric for metric in METRICS}
    totals = Totals()
    for family in text_string_to_metric_families(text):
        name = family.name.removesuffix("_total")
        metric = known.get(name)
        if metric is None or family.type != metric.kind:
            raise ValueError(f"the {family.type} {family.name}")
        _take_family(totals, metric, family)
    return totals


def _take_family(totals: Totals, metric: Metric, family: Family) -> None:
    bounds = {bound: place for place, bound in enumerate((*metric.buckets, math.inf))}
    cumulated: dict[Series, list[float | None]] = {}
    for sample in family.samples:
        value = float(sample.value)
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        if set(labels) != set(metric.labels) or not value >= 0 or math.isinf(value):
            raise ValueError(f"{sample.name} {sample.labels} {sample.value}")
        series = (metric.name, tuple(labels[name] for name in metric.labels))
        if metric.kind is MetricKind.COUNTER:
            totals.counters[series] = value
        elif metric.kind is MetricKind.GAUGE:
            totals.gauges[series] = value
        elif bound is not None:
            if float(bound) not in bounds:
                raise ValueError(f"{sample.name} with le={bound}")
            cumulated.setdefault(series, [None] * len(bounds))[bounds[float(bound)]] = value
        elif sample.name.endswith("_sum"):
            histogram = totals.histograms.setdefault(series, Histogram([]))
            histogram.total = value
    _take_buckets(totals, cumulated)


def _take_buckets(totals: Totals, cumulated: dict[Series, list[float | None]]) -> None:
    for series, counts in cumulated.items():
        below = 0.0
        histogram = totals.histograms.setdefault(series, Histogram([]))
        for count in counts:
            if count is None or count < below:
                raise ValueError(f"the buckets of {series[0]}")
            histogram.counts.append(count - below)
            below = count
    for series, histogram in totals.histograms.items():
        if not histogram.counts:
            raise ValueError(f"{series[0]} without buckets")


def _family(metric: Metric, totals: Totals) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    named = (metric.name, metric.meaning)
    if metric.kind is MetricKind.HISTOGRAM:
        family = HistogramMetricFamily(*named, labels=metric.labels)
        for series, histogram in iter_series(metric, totals.histograms):
            family.add_metric(series, _cumulated(metric, histogram), sum_value=histogram.total)
        return family
    if metric.kind is MetricKind.COUNTER:
        counter = CounterMetricFamily(*named, labels=metric.labels)
        for labels, value in iter_series(metric, totals.counters):
            counter.add_metric(labels, value)
        return counter
    gauge = GaugeMetricFamily(*named, labels=metric.labels)
    for labels, value in iter_series(metric, totals.gauges):
        gauge.add_metric(labels, value)
    return gauge


def _cumulated(metric: Metric, histogram: Histogram) -> list[tuple[str, float]]:
    buckets, below = [], 0.0
    for bound, count in zip((*metric.buckets, math.inf), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if math.isinf(bound) else str(bound), below))
    return buckets
