"""The exporter of OpenTelemetry's SDK, for OTLP over HTTP. Needs the extra `otlp`.

It reads the standard variables OTEL_EXPORTER_OTLP_… itself: headers, compression, certificates, and
the endpoint where none is given.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from orchestrator_cli import __version__
from orchestrator_cli.core.base.cancellation import run_cancellable
from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.socket_errors import socket_error_kind
from orchestrator_cli.core.http.transport import TransportError, TransportErrorKind
from orchestrator_cli.core.http.url import ServiceUrl
from orchestrator_cli.core.metrics.delivery import SEND_SECONDS, PartlyTaken, check_taken
from orchestrator_cli.core.metrics.otlp import OtlpSettings, Span
from orchestrator_cli.core.metrics.otlp_points import as_metrics_data
from orchestrator_cli.core.metrics.registry import MetricsSnapshot
from orchestrator_cli.core.s3.errors import connection_error

_PATH = "/v1/metrics"
_PROTOBUF = "application/x-protobuf"
_NAME = "orchestrator"
_UNHEARD = logging.NullHandler()


def export(measured: MetricsSnapshot, span: Span, settings: OtlpSettings) -> None:
    """Send what was measured. Raises UnavailableError or PartlyTaken."""
    scope = InstrumentationScope(_NAME, __version__)
    data = as_metrics_data(measured, span, _resource(settings.host), scope)
    _Export(settings).send(data)


def _resource(host: str) -> Resource:
    """Return who counts; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    ours = {"service.name": _NAME, "service.version": __version__, "service.instance.id": host}
    return Resource(ours).merge(OTELResourceDetector().detect())


class _Export:
    """One export, whose outcome is read off the connection: the exporter tells too little."""

    def __init__(self, settings: OtlpSettings) -> None:
        # Its messages repeat URLs and headers, which may hold secrets. Who handles them gets them.
        logging.getLogger("opentelemetry").addHandler(_UNHEARD)
        self._session = _Session()
        endpoint, headers = _target(settings.receiver)
        self._exporter = OTLPMetricExporter(
            endpoint=endpoint,
            certificate_file=settings.certificate,
            headers=headers,
            timeout=SEND_SECONDS,
            session=self._session,
        )

    def send(self, data: MetricsData) -> None:
        """Send the data. Raises UnavailableError or PartlyTaken."""
        try:
            run_cancellable(lambda: self._exporter.export(data), SEND_SECONDS)
        except TimeoutError as error:
            # It may have been told to try again later, and wait for that.
            if self._session.answer is None:
                raise UnavailableError(f"{self._what}: no answer in {SEND_SECONDS:g} s") from error
        except Exception:
            # Some of its releases raise what others only log.
            if self._session.error is None:
                raise
        finally:
            # What is left behind stops trying again.
            self._exporter.shutdown()
        self._check()

    @property
    def _what(self) -> str:
        return f"the OTLP receiver at {self._session.origin}"

    def _as_transport_error(self, error: Exception) -> TransportError:
        kind = socket_error_kind(error)
        if kind is None:
            is_of_proxy = isinstance(error, requests.exceptions.ProxyError)
            kind = TransportErrorKind.PROXY_REFUSED if is_of_proxy else TransportErrorKind.BROKEN
        parts = urlsplit(self._session.origin)
        return TransportError(
            _TEXTS[kind],
            kind,
            parts.hostname or "",
            parts.port or 0,
            is_retryable=kind is not TransportErrorKind.CERTIFICATE,
        )

    def _check(self) -> None:
        error, answer = self._session.error, self._session.answer
        if error is not None:
            raise connection_error(self._as_transport_error(error), self._what) from error
        if answer is None:
            raise UnavailableError(f"{self._what}: nothing could be sent")
        media_type = str(answer.headers.get("content-type", ""))
        check_taken(answer.status_code, media_type, self._what)
        if media_type.startswith(_PROTOBUF):
            _check_rejected(answer.content, self._what)


_TEXTS = {
    TransportErrorKind.RESOLVE: "the host name cannot be resolved",
    TransportErrorKind.REFUSED: "connection refused",
    TransportErrorKind.STALLED: "no answer in time",
    TransportErrorKind.CERTIFICATE: "its TLS certificate is not trusted",
    TransportErrorKind.NOT_TLS: "it does not speak TLS 1.2 or later",
    TransportErrorKind.PROXY_REFUSED: "the proxy refused the connection",
    TransportErrorKind.BROKEN: "the connection broke",
}


class _Session(requests.Session):
    """Follows no redirect, which would take secrets elsewhere, and keeps what came of a request."""

    def __init__(self) -> None:
        super().__init__()
        self.origin = "an unknown address"
        self.answer: requests.Response | None = None
        self.error: Exception | None = None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request."""
        self.origin, self.answer, self.error = _origin(str(request.url)), None, None
        try:
            self.answer = super().send(request, **{**options, "allow_redirects": False})
        except Exception as error:
            self.error = error
            raise
        return self.answer


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")


def _target(receiver: ServiceUrl | None) -> tuple[str | None, dict[str, str]]:
    if receiver is None:
        return None, {}
    endpoint = f"{receiver.url.removesuffix(_PATH)}{_PATH}"
    if receiver.authorization is None:
        return endpoint, {}
    return endpoint, {"authorization": receiver.authorization}


def _check_rejected(content: bytes, what: str) -> None:
    """Raise PartlyTaken where a receiver took only a part, by the protocol not to be sent again."""
    response = ExportMetricsServiceResponse()
    try:
        response.ParseFromString(content)
    except DecodeError as error:
        raise UnavailableError(f"{what}: answered what is no OTLP") from error
    rejected = response.partial_success.rejected_data_points
    if rejected:
        raise PartlyTaken(f"{what}: rejected {rejected:,} values; its log says why")
