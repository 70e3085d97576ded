"""What the server counts of itself, for Prometheus at `/metrics`."""

from __future__ import annotations

import threading

from orchestrator_cli.core.metrics.registry import Kind, Metric, MetricsSnapshot
from orchestrator_cli.core.metrics.text_file import render

REQUESTS = Metric(
    "orchestrator_http_requests_total",
    Kind.COUNTER,
    "Requests answered, by the route's template, never by what was asked for.",
    ("method", "route", "status"),
)
SECONDS = Metric(
    "orchestrator_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Seconds from a request's head to the end of its answer.",
    ("method", "route"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
IN_FLIGHT = Metric(
    "orchestrator_http_requests_in_flight",
    Kind.GAUGE,
    "Requests that are being answered, this one included.",
    (),
)
SERVED = (REQUESTS, SECONDS, IN_FLIGHT)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A client may send any word as its method, and ask for any path.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"


class ServerMetrics:
    """Counts since the process began. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured = MetricsSnapshot()
        self._in_flight = 0

    def begin(self) -> None:
        """Note that a request has come."""
        with self._lock:
            self._in_flight += 1

    def end(self, method: str, route: str | None, status: int | None, seconds: float) -> None:
        """Note how a request ended: `route` None for none of ours, `status` None unanswered."""
        labels = (method if method in _METHODS else _OTHER, route or _OTHER)
        with self._lock:
            self._in_flight -= 1
            self._measured.count(REQUESTS, (*labels, str(status) if status else "none"))
            self._measured.observe(SECONDS, labels, seconds)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        with self._lock:
            self._measured.gauges[IN_FLIGHT.name, ()] = self._in_flight
            return render(self._measured, SERVED)
