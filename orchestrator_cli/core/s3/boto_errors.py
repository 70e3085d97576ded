"""Read botocore's exceptions as what our own requests end with, so that both mean the same.

The types of an exception and of its causes decide, never its text.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from orchestrator_cli.core.base.errors import (
    AccessError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable, without_urls
from orchestrator_cli.core.http.socket_errors import broke, socket_error_kind
from orchestrator_cli.core.http.transport import TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from orchestrator_cli.core.s3.error_codes import NOT_S3_HINT, S3Error
from orchestrator_cli.core.s3.permissions import action_of_operation

# Operations of STS and SSO, by which credentials are fetched.
_CREDENTIAL_OPERATIONS = ("AssumeRole", "CreateToken", "GetRoleCredentials", "GetSessionToken")
_SETTINGS = (
    botocore.ParamValidationError,
    botocore.InvalidRegionError,
    botocore.EndpointProviderError,
    botocore.ConfigParseError,
)
_TEXTS = {
    Kind.RESOLVE: "the host name of {peer} cannot be resolved",
    Kind.REFUSED: "connection refused by {peer}",
    Kind.UNREACHABLE: "{peer} cannot be reached",
    Kind.STALLED: "{peer} did not answer in time",
    Kind.CERTIFICATE: "the TLS certificate of {peer} is not trusted",
    Kind.NOT_TLS: "{peer} does not speak TLS 1.2 or later",
    Kind.PROXY_REFUSED: "the proxy refused the connection to {peer}",
    Kind.BROKEN: "the connection to {peer} broke",
}


def as_s3_error(error: Exception) -> S3Error | None:
    """Return the error answer that an exception is made of; None where it is of none."""
    if not isinstance(error, botocore.ClientError):
        return None
    response: Any = error.response
    told, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(told.get("Code", ""))
    headers = metadata.get("HTTPHeaders", {})
    return S3Error(
        status=int(metadata.get("HTTPStatusCode") or (code if code.isdecimal() else 0)),
        code=code,
        message=str(told.get("Message") or ""),
        request_id=metadata.get("RequestId") or told.get("RequestId"),
        region=told.get("Region") or headers.get("x-amz-bucket-region"),
        action=action_of_operation(error.operation_name),
    )


def credential_operation(error: Exception) -> str | None:
    """Return the operation of STS or SSO that failed; None where it was of S3."""
    operation = str(getattr(error, "operation_name", ""))
    return operation if operation.startswith(_CREDENTIAL_OPERATIONS) else None


def as_transport_error(error: Any) -> TransportError | None:
    """Return what a request without a response ended with; None for another exception."""
    if not isinstance(error, botocore.ConnectionError | botocore.HTTPClientError):
        return None
    kind = _kind_of(error)
    host, port, peer = _peer(error)
    retryable = kind is not Kind.CERTIFICATE
    message = _TEXTS[kind].format(peer=peer)
    return TransportError(message, kind, host, port, is_retryable=retryable)


def setting_error(error: Exception, what: str) -> OrchestratorError | None:
    """Return the exception for settings that cannot be used, or for an answer that is not S3's."""
    if isinstance(error, ResponseParserError):
        message = f"{what}: what answered is not S3"
        return UnavailableError(message, hint=NOT_S3_HINT, retryable=True)
    if isinstance(error, _SETTINGS):
        return UsageError(f"{what}: {without_urls(error)}".replace("\\n", " "), is_fatal=True)
    if isinstance(error, botocore.NoRegionError):
        hint = "set --region or AWS_REGION"
        return UsageError("no region is configured", hint=hint, is_fatal=True)
    if isinstance(error, botocore.ProfileNotFound):
        hint = "check --profile, AWS_PROFILE and ~/.aws/config"
        return AccessError(printable(error), hint=hint, is_fatal=True)
    return None


def can_pass(error: Exception) -> bool:
    """Return True where what hands out credentials may be away for a moment."""
    return isinstance(error, botocore.CredentialRetrievalError | botocore.MetadataRetrievalError)


def _kind_of(error: Exception) -> Kind:
    kind = socket_error_kind(error)
    if kind is not None:
        return kind
    if isinstance(error, botocore.ConnectTimeoutError | botocore.ReadTimeoutError):
        return Kind.STALLED
    if isinstance(error, botocore.ProxyConnectionError):
        return Kind.PROXY_REFUSED
    is_unreached = isinstance(error, botocore.EndpointConnectionError) and not broke(error)
    return Kind.UNREACHABLE if is_unreached else Kind.BROKEN


def _peer(error: Any) -> tuple[str, int, str]:
    parts = urlsplit(str(error.kwargs.get("endpoint_url") or error.kwargs.get("proxy_url") or ""))
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    host = printable(parts.hostname or "")
    return host, port, f"{host}:{port}" if host else "the endpoint"
