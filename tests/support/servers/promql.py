"""What a PromQL expression asks for, checked against the metrics that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from orchestrator_cli.core.base.errors import REASONS
from orchestrator_cli.core.metrics.registry import METRICS, Metric, MetricKind
from orchestrator_cli.core.s3.types import PutOutcome

# What Prometheus itself adds to each series.
TARGET_LABELS = frozenset({"job", "instance"})
_VALUES = {
    "command": {"upload", "run", "sync-efs"},
    "outcome": {str(outcome) for outcome in PutOutcome},
    "reason": set(REASONS.values()),
}
_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
_OF_COUNTERS = frozenset({"rate", "increase", "irate"})
# What Grafana puts there, of the smallest length that it takes.
_VARIABLES = {"$__rate_interval": "1m"}


def check_expression(text: str) -> None:
    """Fail the test unless Prometheus could evaluate this, over series that are counted.

    The parser knows functions, their arguments' types, durations and the grammar.
    """
    parsed = parse(text)
    selectors = [node for node in nodes(parsed) if isinstance(node, promql.VectorSelector)]
    assert selectors, text
    for selector in selectors:
        metric, suffix = find_metric(selector.name)
        matchers = selector.matchers.matchers
        unknown = {matcher.name for matcher in matchers} - set(metric.labels)
        assert not unknown, f"{selector.name} has no {unknown}: {text}"
        for matcher in matchers:
            assert matcher.value in _VALUES[matcher.name], f"{matcher}: {text}"
        grouped = _grouping(parsed) - TARGET_LABELS - ({"le"} if suffix == "_bucket" else set())
        assert grouped <= set(metric.labels), f"{selector.name} is not by {grouped}: {text}"
    _check_calls(parsed, text)


def _check_calls(parsed: Any, text: str) -> None:
    for call in nodes(parsed):
        if not isinstance(call, promql.Call):
            continue
        inside = [one for one in nodes(call) if isinstance(one, promql.VectorSelector)]
        metrics = [find_metric(one.name) for one in inside]
        if call.func.name in _OF_COUNTERS:
            assert all(metric.kind is not MetricKind.GAUGE for metric, _ in metrics), text
        elif call.func.name.endswith("_over_time"):
            assert all(metric.kind is MetricKind.GAUGE for metric, _ in metrics), text
        elif call.func.name == "histogram_quantile":
            assert all(suffix == "_bucket" for _, suffix in metrics), text
            assert "le" in kept_labels(call.args[1]), text
            assert 0 < call.args[0].val < 1, text


def parse(text: str) -> Any:
    """Parse an expression. Raises ValueError where Prometheus would not take it."""
    for name, example in _VARIABLES.items():
        text = text.replace(name, example)
    return promql.parse(text)


def nodes(parsed: Any) -> Iterator[Any]:
    """Yield an expression and all expressions in it."""
    found: list[Any] = []
    promql.walk(parsed, found.append)
    for node in found:
        yield node
        if isinstance(node, promql.MatrixSelector):
            yield node.vector_selector


def sample_names() -> dict[str, tuple[Metric, str]]:
    """Return the name of every sample: which metric it is of, and what it adds to its name."""
    return {
        metric.name + suffix: (metric, suffix)
        for metric in METRICS
        for suffix in (_OF_HISTOGRAMS if metric.kind is MetricKind.HISTOGRAM else ("",))
    }


def find_metric(name: str | None) -> tuple[Metric, str]:
    """Return which metric a sample is of, and what its name adds to the metric's."""
    found = sample_names().get(name or "")
    assert found is not None, f"nothing counts {name}"
    return found


def kept_labels(parsed: Any) -> set[str]:
    """Return the labels that the result of an expression has."""
    outermost = next((one for one in nodes(parsed) if _is_aggregate(one)), None)
    if outermost is None:
        kept = set(TARGET_LABELS)
        for one in nodes(parsed):
            if isinstance(one, promql.VectorSelector):
                kept |= set(find_metric(one.name)[0].labels)
        return kept
    modifier = outermost.modifier
    return set(modifier.labels) if modifier is not None else set()


def _grouping(parsed: Any) -> set[str]:
    modifiers = [one.modifier for one in nodes(parsed) if _is_aggregate(one)]
    return {label for modifier in modifiers if modifier is not None for label in modifier.labels}


def _is_aggregate(node: Any) -> bool:
    return isinstance(node, promql.AggregateExpr)
