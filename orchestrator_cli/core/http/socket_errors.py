"""Classify exceptions of Python's sockets, however deep a library has wrapped them.

For OpenTelemetry, which brings an HTTP client of its own. The types of an exception and of its
causes decide, never its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError
from typing import Any

from orchestrator_cli.core.http.transport import TransportErrorKind as Kind

# OpenSSL's names, of various releases, for plain HTTP in place of TLS.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)
# urllib3's own, for a certificate of another host.
_CERTIFICATE_ERROR = "CertificateError"


def socket_error_kind(error: BaseException) -> Kind | None:
    """Return the kind of failure; None where no socket error is among the causes."""
    causes = list(_causes(error))
    if any(isinstance(one, SSLError) or _is_of_certificate(one) for one in causes):
        return _tls_error_kind(causes)
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return Kind.REFUSED
    if any(isinstance(one, gaierror) for one in causes):
        return Kind.RESOLVE
    if any(isinstance(one, TimeoutError) for one in causes):
        return Kind.STALLED
    return None


def _tls_error_kind(causes: list[BaseException]) -> Kind:
    if any(_is_of_certificate(one) for one in causes):
        return Kind.CERTIFICATE
    reasons = {one.reason for one in causes if isinstance(one, SSLError)}
    return Kind.BROKEN if reasons.isdisjoint(_NO_TLS) else Kind.NOT_TLS


def _is_of_certificate(error: BaseException) -> bool:
    is_own = isinstance(error, SSLCertVerificationError)
    return is_own or type(error).__name__ == _CERTIFICATE_ERROR


def _causes(error: Any) -> Iterator[BaseException]:
    """Yield an exception and its causes, wherever requests and urllib3 have put them."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]
