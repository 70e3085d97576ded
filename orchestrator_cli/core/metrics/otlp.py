"""Metrics sent by OTLP, OpenTelemetry's protocol: what is sent each time, and as of when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.http.url import ServiceUrl
from orchestrator_cli.core.metrics.delivery import Owed
from orchestrator_cli.core.metrics.registry import MetricsSnapshot

_EXPORTER = "opentelemetry.exporter.otlp.proto.http"
# How far back a delta reaches. Counts of a long command that reached back to its begin would be
# older than a series that a shorter one began meanwhile, and collectors drop what is older.
_DELTA_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Where counts go, and as whose.

    `receiver` None leaves the endpoint to the standard variables, `certificate` None the CAs.
    """

    receiver: ServiceUrl | None
    certificate: str | None
    host: str


@dataclass(frozen=True, slots=True)
class Span:
    """The time that counts are of, in nanoseconds since 1970.

    `cumulative` counts are all of the process, others what came since the last time.
    """

    start_ns: int
    end_ns: int
    cumulative: bool


Send = Callable[[MetricsSnapshot, Span], None]


def require_otlp() -> None:
    """Raise UsageError where the extra is not installed. It is loaded when something is sent."""
    try:
        found = find_spec(_EXPORTER) is not None and find_spec("opentelemetry.sdk") is not None
    except ImportError:
        found = False
    if not found:
        raise UsageError(
            "OTLP needs OpenTelemetry's SDK and exporter",
            hint="pip install 'orchestrator-cli[otlp]'",
        )


class OtlpReceiver:
    """Sends what one command counts. `clock` gives nanoseconds since 1970.

    `send` raises UnavailableError where nothing was taken, PartlyTaken where a part was.
    """

    def __init__(self, send: Send, cumulative: bool, clock: Callable[[], int]) -> None:
        self._send = send
        self._cumulative = cumulative
        self._clock = clock
        self._began_ns = clock()
        self._total = MetricsSnapshot()
        self._owed = Owed(self._send_delta)

    def deliver(self, measured: MetricsSnapshot) -> None:
        """Send what was counted since the last time. Raises what `send` raises."""
        if not self._cumulative:
            self._owed.deliver(measured)
            return
        self._total.merge(measured)
        self._send(self._total, Span(self._began_ns, self._clock(), cumulative=True))

    def _send_delta(self, measured: MetricsSnapshot) -> None:
        now = self._clock()
        self._send(measured, Span(now - _DELTA_NS, now, cumulative=False))
