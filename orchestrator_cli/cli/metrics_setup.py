"""Counting what a command does, and where the counts go."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator_cli.cli.environment import proxy_variables
from orchestrator_cli.core.http.url import ServiceUrl, is_plaintext, parse_service_url
from orchestrator_cli.core.metrics.delivery import Delivery, Owed
from orchestrator_cli.core.metrics.registry import MetricsRecorder, MetricsSnapshot
from orchestrator_cli.core.metrics.text_file import add_to_file, require_prometheus

# Below the directory for state.
TOTALS = "orchestrator/metrics"
# Instead of a URL: what OpenTelemetry's own variables say.
FROM_ENVIRONMENT = "env"
_CERTIFICATES = ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


class Measuring:
    """The counts of one command and their destinations. `warn` tells the user of trouble."""

    def __init__(
        self, command: str, environment: Mapping[str, str], warn: Callable[[str], None]
    ) -> None:
        self.meter = MetricsRecorder(command, time.monotonic)
        self._environment = environment
        self._warn = warn
        self._deliveries: list[Delivery] = []

    def to_file(self, path: Path) -> None:
        """Add the counts to a file. Raises UsageError where the extra is missing."""
        require_prometheus()
        owed = Owed(partial(add_to_file, path.absolute()))
        self._deliveries.append(Delivery(owed.deliver))

    def to_gateway(self, url: str, state: Path, ca_bundle: str | None) -> None:
        """Push the totals, kept below a directory, to a Pushgateway.

        Raises UsageError for another URL, or where the extra is missing.
        """
        require_prometheus()
        from orchestrator_cli.core.metrics.pushgateway import Pushgateway, group_address

        address = self._address(url, "--metrics-push", "http://pushgateway.example.com:9091")
        group = group_address(address, _host(), os.getuid())
        proxies = proxy_variables(self._environment)
        gateway = Pushgateway(group, state / TOTALS, ca_bundle, proxies)
        self._deliveries.append(Delivery(gateway.push))

    def to_receiver(self, url: str, ca_bundle: str | None) -> None:
        """Send the counts by OTLP. Raises UsageError as `to_gateway` does."""
        from orchestrator_cli.core.metrics.otlp import (
            OtlpReceiver,
            OtlpSettings,
            Span,
            require_otlp,
        )

        require_otlp()
        address = None
        if url != FROM_ENVIRONMENT:
            address = self._address(url, "--metrics-otlp", "http://localhost:4318, nor env")
        own = any(map(self._environment.get, _CERTIFICATES))
        settings = OtlpSettings(address, None if own else ca_bundle, _host())

        def send(measured: MetricsSnapshot, span: Span) -> None:
            from orchestrator_cli.core.metrics.otlp_exporter import export

            export(measured, span, settings)

        preference = self._environment.get(_TEMPORALITY, "").strip().lower()
        receiver = OtlpReceiver(send, preference == "cumulative", time.time_ns)
        self._deliveries.append(Delivery(receiver.deliver))

    def hand_over(self) -> None:
        """Hand over what was counted since the last time; a failure is a warning only."""
        taken = self.meter.take()
        for delivery in self._deliveries:
            trouble = delivery.hand_over(taken)
            if trouble is not None:
                self._warn(f"metrics: {trouble}")

    def _address(self, url: str, option: str, example: str) -> ServiceUrl:
        address = parse_service_url(url, option, example)
        if address.authorization is not None and is_plaintext(address.url):
            self._warn(f"{option}: the password goes over plain HTTP; use https://")
        return address


def _host() -> str:
    return socket.gethostname() or "unknown"
