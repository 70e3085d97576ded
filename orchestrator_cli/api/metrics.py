"""The server's own metrics, for Prometheus at `/metrics`."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from orchestrator_cli.core.metrics.registry import Metric, MetricKind

REQUESTS = Metric(
    "orchestrator_http_requests_total",
    MetricKind.COUNTER,
    "Requests served, by the template of their route, such as /executions/{execution_id}.",
    ("method", "route", "status"),
)
SECONDS = Metric(
    "orchestrator_http_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "Seconds from the head of a request to the end of its response.",
    ("method", "route"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
IN_FLIGHT = Metric(
    "orchestrator_http_requests_in_flight",
    MetricKind.GAUGE,
    "Requests that are being served, including the one that reads this.",
    (),
)
TOKENS = Metric(
    "orchestrator_tokens",
    MetricKind.GAUGE,
    "Valid lines of the file of tokens; 0 while it cannot be read, or if there is no such file.",
    (),
)
TOKEN_PROBLEM = Metric(
    "orchestrator_token_file_problem",
    MetricKind.GAUGE,
    "1 while the file of tokens cannot be read or has invalid lines, otherwise 0.",
    (),
)
SERVED = (REQUESTS, SECONDS, IN_FLIGHT, TOKENS, TOKEN_PROBLEM)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# All other methods share one label, because a client can make up any number of them.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"


class ServerMetrics:
    """The metrics of this process since it started. Safe to share between threads."""

    def __init__(self) -> None:
        # In the text format, each series would have a second one, `…_created`.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._requests = self._instrument(Counter, REQUESTS)
        self._seconds = self._instrument(Histogram, SECONDS, buckets=SECONDS.buckets)
        self._in_flight = self._instrument(Gauge, IN_FLIGHT)
        self._tokens = self._instrument(Gauge, TOKENS)
        self._token_problem = self._instrument(Gauge, TOKEN_PROBLEM)

    def _instrument(self, kind: Any, metric: Metric, **more: Any) -> Any:
        return kind(metric.name, metric.meaning, metric.labels, registry=self._registry, **more)

    def begin_request(self) -> None:
        """Count a request that has arrived."""
        self._in_flight.inc()

    def end_request(
        self, method: str, route: str | None, status: int | None, seconds: float
    ) -> None:
        """Count a request that has ended. `route` or `status` is None if there was none."""
        labels = (method if method in _METHODS else _OTHER, route or _OTHER)
        self._in_flight.dec()
        self._requests.labels(*labels, str(status) if status else "none").inc()
        self._seconds.labels(*labels).observe(seconds)

    def set_tokens(self, valid: int, has_problem: bool) -> None:
        """Set how many tokens are valid, and whether their file has a problem."""
        self._tokens.set(valid)
        self._token_problem.set(has_problem)

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
