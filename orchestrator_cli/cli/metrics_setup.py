"""Set up a command's metrics and their destinations."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.core.http.proxy import proxy_variables
from orchestrator_cli.core.http.url import ServiceUrl, is_plaintext, parse_service_url
from orchestrator_cli.core.metrics.delivery import DeliveryQueue, Exporter
from orchestrator_cli.core.metrics.extras import require_otlp, require_prometheus
from orchestrator_cli.core.metrics.recorder import MetricsRecorder
from orchestrator_cli.core.metrics.text_file import add_to_file

if TYPE_CHECKING:
    from orchestrator_cli.core.metrics.otlp import OtlpReceiver

# Below the directory for state.
TOTALS = "orchestrator/metrics"
# Instead of a URL: what OpenTelemetry's own variables say.
FROM_ENVIRONMENT = "env"
_CERTIFICATES = ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


class CommandMetrics:
    """The metrics of one command and their destinations. `warn` tells the user of trouble."""

    def __init__(
        self, command: str, environment: Mapping[str, str], warn: Callable[[str], None]
    ) -> None:
        self.meter = MetricsRecorder(command)
        self._environment = environment
        self._warn = warn
        self._exporters: list[Exporter] = []

    def to_file(self, path: Path) -> None:
        """Add the counts to a file. Raises UsageError where the extra is missing."""
        require_prometheus()
        queue = DeliveryQueue(partial(add_to_file, path.absolute()))
        self._exporters.append(Exporter(queue.export))

    def to_gateway(self, url: str, state: Path, ca_bundle: str | None) -> None:
        """Push the totals, kept below a directory, to a Pushgateway.

        Raises UsageError for another URL, or where the extra is missing.
        """
        require_prometheus()
        from orchestrator_cli.core.metrics.pushgateway import Group, Pushgateway

        address = self._address(url, "--metrics-push", "http://pushgateway.example.com:9091")
        group = Group.of(address, _host(), os.getuid())
        proxies = proxy_variables(self._environment)
        gateway = Pushgateway(group, state / TOTALS, ca_bundle, proxies)
        self._exporters.append(Exporter(gateway.export))

    def to_receiver(self, url: str, ca_bundle: str | None) -> None:
        """Send the counts by OTLP. Raises UsageError as `to_gateway` does."""
        require_otlp()
        address = None
        if url != FROM_ENVIRONMENT:
            address = self._address(url, "--metrics-otlp", "http://localhost:4318, nor env")
        certificate = None if any(map(self._environment.get, _CERTIFICATES)) else ca_bundle
        proxies = proxy_variables(self._environment)
        preference = self._environment.get(_TEMPORALITY, "").strip().lower()

        @cache
        def receiver() -> OtlpReceiver:
            # Loaded when something is sent.
            from orchestrator_cli.core.metrics.otlp import OtlpReceiver

            cumulative = preference == "cumulative"
            return OtlpReceiver(address, certificate, proxies, _host(), cumulative=cumulative)

        self._exporters.append(Exporter(lambda snapshot: receiver().export(snapshot)))

    def export(self) -> None:
        """Export the metrics since the last export; a failure is only a warning."""
        snapshot = self.meter.drain()
        for exporter in self._exporters:
            problem = exporter.export(snapshot)
            if problem is not None:
                self._warn(f"metrics: {problem}")

    def _address(self, url: str, option: str, example: str) -> ServiceUrl:
        address = parse_service_url(url, option, example)
        if address.authorization is not None and is_plaintext(address.url):
            self._warn(f"{option}: the password goes over plain HTTP; use https://")
        return address


def _host() -> str:
    return socket.gethostname() or "unknown"
