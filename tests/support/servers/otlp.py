"""What arrived by OTLP, decoded with the protocol's own messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from tests.support.servers.receiving import Answer, Pushed

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Export:
    """One export: whose it is, and its metrics by name."""

    resource: dict[str, str]
    metrics: dict[str, Any]

    def points(self, name: str) -> dict[tuple[tuple[str, str], ...], Any]:
        """Return the points of a metric by their sorted attributes."""
        metric = self.metrics[name]
        data = getattr(metric, metric.WhichOneof("data"))
        return {tuple(sorted(_attributes(point).items())): point for point in data.data_points}

    def point(self, name: str, **labels: str) -> Any:
        return self.points(name)[tuple(sorted(labels.items()))]


def parse_export(pushed: Pushed) -> Export:
    """Decode a request that a receiver got."""
    assert (pushed.method, pushed.headers["content-type"]) == ("POST", PROTOBUF)
    request = ExportMetricsServiceRequest.FromString(pushed.body)
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "orchestrator"
    metrics = {metric.name: metric for metric in scope.metrics}
    assert len(metrics) == len(scope.metrics)
    return Export(_attributes(resource.resource), metrics)


def rejecting(count: int) -> Answer:
    """Return the answer of a receiver that took all but so many points."""
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = count
    response.partial_success.error_message = "too old"
    return Answer(200, {"Content-Type": PROTOBUF}, response.SerializeToString())


def _attributes(holder: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in holder.attributes}
