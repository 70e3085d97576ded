"""What was counted, as OpenTelemetry's SDK hands it to an exporter. Needs the extra `otlp`.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as ExportedMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from orchestrator_cli.core.metrics.otlp import Span
from orchestrator_cli.core.metrics.registry import (
    METRICS,
    Distribution,
    Kind,
    Metric,
    MetricsSnapshot,
    series_of,
)

_UNITS = {"bytes": "By", "seconds": "s"}


def as_metrics_data(
    measured: MetricsSnapshot, span: Span, resource: Resource, scope: InstrumentationScope
) -> MetricsData:
    """Return what was measured in a span, under the documented names and buckets."""
    metrics = [
        ExportedMetric(metric.name, metric.meaning, _unit(metric), data)
        for metric in METRICS
        if (data := _data(metric, measured, span)).data_points
    ]
    scopes = [ScopeMetrics(scope, metrics, "")]
    return MetricsData([ResourceMetrics(resource, scopes, resource.schema_url)])


def _unit(metric: Metric) -> str:
    # As the name says, and nothing where it does not: Prometheus makes a missing unit part of the
    # name, and the documented one is to stay.
    return _UNITS.get(metric.name.removesuffix("_total").rpartition("_")[2], "")


def _data(metric: Metric, measured: MetricsSnapshot, span: Span) -> Histogram | Sum | Gauge:
    if metric.kind is Kind.HISTOGRAM:
        points = [
            _histogram_point(metric, labels, distribution, span)
            for labels, distribution in series_of(metric, measured.histograms)
        ]
        return Histogram(points, _temporality(span))
    if metric.kind is Kind.COUNTER:
        counted = series_of(metric, measured.counters)
        # A stream must not have integers now and fractions then.
        sums = [_point(metric, labels, round(value), span) for labels, value in counted]
        return Sum(sums, _temporality(span), is_monotonic=True)
    last = series_of(metric, measured.gauges)
    return Gauge([_point(metric, labels, float(value), span) for labels, value in last])


def _temporality(span: Span) -> AggregationTemporality:
    kinds = AggregationTemporality
    return kinds.CUMULATIVE if span.cumulative else kinds.DELTA


def _point(metric: Metric, labels: tuple[str, ...], value: float, span: Span) -> NumberDataPoint:
    return NumberDataPoint(_attributes(metric, labels), span.start_ns, span.end_ns, value)


def _histogram_point(
    metric: Metric, labels: tuple[str, ...], distribution: Distribution, span: Span
) -> HistogramDataPoint:
    counts = [round(count) for count in distribution.counts]
    # They are optional in the protocol, and not measured.
    unknown: Any = None
    return HistogramDataPoint(
        attributes=_attributes(metric, labels),
        start_time_unix_nano=span.start_ns,
        time_unix_nano=span.end_ns,
        count=sum(counts),
        sum=distribution.total,
        bucket_counts=counts,
        explicit_bounds=metric.buckets,
        min=unknown,
        max=unknown,
    )


def _attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))
