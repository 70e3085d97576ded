"""Whether the optional packages that metrics need are installed, without loading them."""

from __future__ import annotations

from importlib.util import find_spec

from orchestrator_cli.core.base.errors import UsageError

_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def require_prometheus() -> None:
    """Raise UsageError where prometheus-client is not installed."""
    if not _is_installed("prometheus_client"):
        raise UsageError(
            "metrics need prometheus-client", hint="pip install 'orchestrator-cli[metrics]'"
        )


def require_otlp() -> None:
    """Raise UsageError where OpenTelemetry's SDK and exporter are not installed."""
    if not (_is_installed(_EXPORTER) and _is_installed("opentelemetry.sdk")):
        raise UsageError(
            "OTLP needs OpenTelemetry's SDK and exporter",
            hint="pip install 'orchestrator-cli[otlp]'",
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
