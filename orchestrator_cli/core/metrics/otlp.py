"""Metrics sent by OTLP, through the instruments and the exporter of OpenTelemetry's SDK.

Needs the extra `otlp`. The SDK reads the standard variables OTEL_EXPORTER_OTLP_… itself: headers,
compression, certificates, and the endpoint where none is given.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Meter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricsData,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from orchestrator_cli import __version__
from orchestrator_cli.core.base.cancellation import run_cancellable
from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.http.transport import TransportErrorKind
from orchestrator_cli.core.http.url import ServiceUrl
from orchestrator_cli.core.metrics.delivery import (
    SEND_SECONDS,
    DeliveryQueue,
    PartialSuccess,
    raise_for_rejection,
)
from orchestrator_cli.core.metrics.otlp_session import OtlpSession
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot, iter_series
from orchestrator_cli.core.metrics.registry import METRICS, Metric, MetricKind
from orchestrator_cli.core.s3.errors import map_exception

_PATH = "/v1/metrics"
_PROTOBUF = "application/x-protobuf"
_NAME = "orchestrator"
_UNITS = {"bytes": "By", "seconds": "s"}
_SILENT = logging.NullHandler()


class OtlpReceiver:
    """Sends what one command counts to a receiver.

    `url` None leaves the endpoint to the standard variables, `certificate` None the CAs.
    `proxies` has `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`.
    `cumulative` values are all since the first export; others are what came since the last one.
    `host` says which machine counts.
    """

    def __init__(
        self,
        url: ServiceUrl | None,
        certificate: str | None,
        proxies: Mapping[str, str],
        host: str,
        *,
        cumulative: bool,
    ) -> None:
        self._url = url
        self._certificate = certificate
        self._proxies = proxies
        self._host = host
        self._whole_process = _Instruments(host, AggregationTemporality.CUMULATIVE)
        self._queue = None if cumulative else DeliveryQueue(self._export_delta)

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Send what was counted. Raises UnavailableError or PartialSuccess."""
        if self._queue is not None:
            self._queue.export(snapshot)
            return
        self._send(self._whole_process.collect(snapshot))

    def _export_delta(self, snapshot: MetricsSnapshot) -> None:
        # Instruments of its own: what a long command counts would reach back to its start, and so
        # before what a shorter one has sent meanwhile. Collectors drop what is older.
        instruments = _Instruments(self._host, AggregationTemporality.DELTA)
        self._send(instruments.collect(snapshot))

    def _send(self, data: MetricsData | None) -> None:
        """Send the data. Its outcome is read off the connection: the exporter tells too little."""
        if data is None:
            return
        # Its messages repeat URLs and headers, which may hold secrets. Who handles them gets them.
        logging.getLogger("opentelemetry").addHandler(_SILENT)
        session = OtlpSession(self._proxies)
        endpoint, headers = _target(self._url)
        exporter = OTLPMetricExporter(
            endpoint=endpoint,
            certificate_file=self._certificate,
            headers=headers,
            timeout=SEND_SECONDS,
            session=session,
        )
        try:
            run_cancellable(lambda: exporter.export(data), SEND_SECONDS)
        except TimeoutError as error:
            # It may have been told to try again later, and wait for that.
            if session.response is None:
                what = _receiver(session)
                raise UnavailableError(f"{what}: no answer in {SEND_SECONDS:g} s") from error
        except Exception:
            # Some of its releases raise what others only log.
            if session.error is None:
                raise
        finally:
            # What is left behind stops trying again.
            exporter.shutdown()
        _check(session)


class _Instruments:
    """The documented metrics as instruments of a meter, read once they have recorded."""

    def __init__(self, host: str, temporality: AggregationTemporality) -> None:
        kinds = (sdk.Counter, sdk.Histogram)
        self._reader = InMemoryMetricReader(dict.fromkeys(kinds, temporality))
        provider = sdk.MeterProvider([self._reader], _resource(host), shutdown_on_exit=False)
        meter = provider.get_meter(_NAME, __version__)
        self._by_name = {metric.name: _make_instrument(meter, metric) for metric in METRICS}

    def collect(self, snapshot: MetricsSnapshot) -> MetricsData | None:
        """Record what was counted; return the values to be exported, None where there are none."""
        for metric in METRICS:
            instrument = self._by_name[metric.name]
            for labels, amount in iter_series(metric, snapshot.counters):
                # A stream must not have integers now and fractions then.
                instrument.add(round(amount), _attributes(metric, labels))
            for labels, value in iter_series(metric, snapshot.gauges):
                instrument.set(float(value), _attributes(metric, labels))
            for labels, values in iter_series(metric, snapshot.observations):
                for value in values:
                    instrument.record(value, _attributes(metric, labels))
        return self._reader.get_metrics_data()


def _make_instrument(meter: Meter, metric: Metric) -> Any:
    named = (metric.name, _unit(metric), metric.meaning)
    if metric.kind is MetricKind.HISTOGRAM:
        return meter.create_histogram(*named, explicit_bucket_boundaries_advisory=metric.buckets)
    if metric.kind is MetricKind.COUNTER:
        return meter.create_counter(*named)
    return meter.create_gauge(*named)


def _unit(metric: Metric) -> str:
    # As the name says, and nothing where it does not: Prometheus makes a missing unit part of the
    # name, and the documented one is to stay.
    return _UNITS.get(metric.name.removesuffix("_total").rpartition("_")[2], "")


def _attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def _resource(host: str) -> Resource:
    """Return who counts; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    ours = {"service.name": _NAME, "service.version": __version__, "service.instance.id": host}
    return Resource(ours).merge(OTELResourceDetector().detect())


def _receiver(session: OtlpSession) -> str:
    return f"the OTLP receiver at {session.origin}"


def _check(session: OtlpSession) -> None:
    what, error, response = _receiver(session), session.error, session.response
    if error is not None:
        if getattr(error, "kind", None) is TransportErrorKind.TOO_LARGE:
            raise _not_otlp(what) from error
        raise map_exception(error, what) from error
    if response is None:
        raise UnavailableError(f"{what}: nothing could be sent")
    media_type = response.headers.get("content-type", "")
    raise_for_rejection(response.status, media_type, what)
    if media_type.startswith(_PROTOBUF):
        _check_rejected(response.body, what)


def _target(receiver: ServiceUrl | None) -> tuple[str | None, dict[str, str]]:
    if receiver is None:
        return None, {}
    endpoint = f"{receiver.url.removesuffix(_PATH)}{_PATH}"
    if receiver.authorization is None:
        return endpoint, {}
    return endpoint, {"authorization": receiver.authorization}


def _check_rejected(content: bytes, what: str) -> None:
    """Raise PartialSuccess where a receiver took a part; by the protocol that is final."""
    response = ExportMetricsServiceResponse()
    try:
        response.ParseFromString(content)
    except DecodeError as error:
        raise _not_otlp(what) from error
    rejected = response.partial_success.rejected_data_points
    if rejected:
        raise PartialSuccess(f"{what}: rejected {rejected:,} values; its log says why")


def _not_otlp(what: str) -> UnavailableError:
    return UnavailableError(f"{what}: answered something that is not OTLP")
