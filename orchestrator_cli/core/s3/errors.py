"""Translate what boto3, urllib3 and our own connections raise into this library's exceptions.

Servers differ in their messages (some send none), so the decision is taken on S3's error code and
on the HTTP status. No message repeats a URL: a presigned one is a credential.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.base.errors import (
    AccessError,
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable, without_urls
from orchestrator_cli.core.http.framing import MalformedError, TransportError

RESUME_HINT = "run the same command again: it resumes"

_CREDENTIAL_CODES = {
    "InvalidAccessKeyId": "S3 does not know the access key",
    "InvalidToken": "the session token is not valid",
    "InvalidClientTokenId": "the session token is not valid",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "AuthFailure": "the credentials are not valid",
}
EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_REGION_CODES = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"}
    | {"IllegalLocationConstraintException", "301", "307"}
)
_BUSY_CODES = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "InternalError", "ServiceUnavailable"}
    | {"RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException"}
    | {"RequestLimitExceeded", "BandwidthLimitExceeded", "TooManyRequestsException", "Busy"}
)
_CONFLICT_CODES = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_DIGEST_CODES = frozenset(
    {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
)

_EXPIRED_ON_ARRIVAL = "the credentials were refreshed and have expired already"
# botocore's words, in a mere RuntimeError.
_STILL_EXPIRED = "refreshed credentials are still expired"
# 5xx that sending again does not change: not implemented, HTTP version not supported.
_FINAL_STATUSES = frozenset({501, 505})
# Operations of STS and SSO, by which credentials are fetched.
_CREDENTIAL_OPERATIONS = ("AssumeRole", "CreateToken", "GetRoleCredentials", "GetSessionToken")

_ENDPOINT_HINT = "check the endpoint, and whether it is of http or of https"
# What OpenSSL says of various releases when plain HTTP comes back.
_NO_TLS = ("wrong version number", "record layer failure", "packet length too long", "http request")
_OUT_OF_REACH = ("no route to host", "unreachable", "host is down")
_TUNNEL_REFUSED = re.compile(r"tunnel connection failed: (\d{3})")

_URL = re.compile(r"""[^\s"'<>]*(://|X-Amz-)[^\s"'<>]*""")
_XML_FIELD = {
    name: re.compile(rf"<{name}>([^<]{{1,500}})</{name}>")
    for name in ("Code", "Message", "RequestId")
}


@dataclass(frozen=True, slots=True)
class S3Error:
    """An error answer of S3: HTTP status, error code, message and request id, where given."""

    status: int
    code: str
    message: str = ""
    request_id: str | None = None


def map_exception(error: Exception, what: str) -> Exception:
    """Return the library's exception for a failed request, or the same error if it is not one.

    `what` names the request and the object, as in "upload of executions/…/runner.log".
    """
    if isinstance(error, OrchestratorError):
        return error
    if _STILL_EXPIRED in str(error):
        return expired_on_arrival()
    module = type(error).__module__.partition(".")[0]
    if module == "botocore" or module == "boto3":
        return _from_botocore(error, what)
    if isinstance(error, MalformedError):
        return UnavailableError(f"{what}: {error}", hint=_ENDPOINT_HINT, retryable=True)
    if module == "urllib3" or isinstance(error, TransportError):
        return connection_error(error, type(error).__name__, what)
    return error


def error_from_s3(answer: S3Error, what: str) -> OrchestratorError:  # noqa: C901, PLR0911 - a case each
    """Return the exception for an error answer."""
    code, status = printable(answer.code), answer.status
    request_id = printable(answer.request_id) if answer.request_id else None
    common: dict[str, Any] = {"request_id": request_id, "code": code}
    if code == "InvalidObjectState":
        return ArchivedError(f"{what}: the object is archived", hint="restore it first", **common)
    if code in _BUSY_CODES or _can_pass(status):
        message = f"{what}: the storage answered {status} {code}".rstrip()
        return UnavailableError(message, hint=RESUME_HINT, retryable=True, **common)
    if code in _DIGEST_CODES:
        message = f"{what}: the bytes that arrived do not match their checksum"
        return IntegrityError(message, hint=RESUME_HINT, retryable=True, **common)
    if status == 407:
        return _refused_by_proxy(status, what)
    if code in _REGION_CODES or status in (301, 307):
        message = f"{what}: the bucket is in another region"
        return UsageError(message, hint="set --region or AWS_REGION to its region", **common)
    if code == "NoSuchBucket":
        return NotFoundError(f"{what}: no such bucket", hint="check ORCHESTRATOR_BUCKET", **common)
    if status == 412 or code == "PreconditionFailed":
        return ConflictError(f"{what}: the key is taken or has changed", **common)
    if code == "RestoreAlreadyInProgress":
        return ConflictError(f"{what}: its restore is under way", **common)
    if status == 409 or code in _CONFLICT_CODES:
        message = f"{what}: another write to the same key is under way"
        return ConflictError(message, hint=RESUME_HINT, retryable=True, **common)
    if status in (401, 403) or code in _CREDENTIAL_CODES or code in EXPIRED_CODES:
        return _access_error(answer, what, common)
    if status == 404:
        return NotFoundError(f"{what}: not found", **common)
    if status == 400 and code in ("", "400"):
        message = f"{what}: the storage refused the request and does not say why"
        hint = "usual reasons: expired credentials, another region, http where https is spoken"
        return AccessError(message, hint=hint, **common)
    detail = f"{status} {code} {without_urls(answer.message)}".rstrip()
    return OrchestratorError(f"{what}: the storage answered {detail}", **common)


def _can_pass(status: int) -> bool:
    return status in (408, 429) or (status >= 500 and status not in _FINAL_STATUSES)


def _access_error(answer: S3Error, what: str, common: dict[str, Any]) -> OrchestratorError:
    if answer.code in EXPIRED_CODES:
        hint = "get new credentials and run the same command again"
        return AccessError(f"{what}: the credentials have expired", hint=hint, **common)
    if answer.code == "RequestTimeTooSkewed":
        hint = "set this machine's clock (NTP), then run the same command again"
        return AccessError(f"{what}: this machine's clock is wrong", hint=hint, **common)
    reason = _CREDENTIAL_CODES.get(answer.code, "access denied")
    hint = "check the credentials and the bucket's permissions"
    return AccessError(f"{what}: {reason}", hint=hint, **common)


def _from_botocore(error: Exception, what: str) -> Exception:  # noqa: PLR0911 - a case each
    from botocore import exceptions as botocore
    from botocore.parsers import ResponseParserError

    if isinstance(error, botocore.ClientError):
        return _from_client_error(error, what)
    if isinstance(error, botocore.ConnectionError | botocore.HTTPClientError):
        # What botocore says itself is little more than the URL.
        return connection_error(error.kwargs.get("error", ""), type(error).__name__, what)
    if isinstance(error, ResponseParserError):
        hint = "check the endpoint, and whether the network asks for a login"
        return UnavailableError(f"{what}: what answered is not S3", hint=hint, retryable=True)
    if isinstance(
        error,
        botocore.ParamValidationError
        | botocore.InvalidRegionError
        | botocore.EndpointProviderError,
    ):
        return UsageError(f"{what}: {without_urls(error)}".replace("\\n", " "))
    if isinstance(error, botocore.NoRegionError):
        return UsageError("no region is configured", hint="set --region or AWS_REGION")
    if isinstance(error, botocore.ProfileNotFound):
        return AccessError(printable(error), hint="check --profile, AWS_PROFILE and ~/.aws/config")
    # What is left are the credential providers: SSO, STS, metadata endpoints, partial settings.
    passing = isinstance(error, botocore.CredentialRetrievalError | botocore.MetadataRetrievalError)
    return no_credentials(without_urls(error), retryable=passing)


def _from_client_error(error: Any, what: str) -> OrchestratorError:
    answer = _client_error_answer(error.response)
    translated = error_from_s3(answer, what)
    final = not translated.retryable and not isinstance(translated, AccessError)
    if final and error.operation_name.startswith(_CREDENTIAL_OPERATIONS):
        detail = f"{answer.code} {without_urls(answer.message)}".rstrip()
        return no_credentials(f"{error.operation_name} answered {detail}")
    return translated


def _client_error_answer(response: Any) -> S3Error:
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(error.get("Code", ""))
    return S3Error(
        status=int(metadata.get("HTTPStatusCode") or (code if code.isdecimal() else 0)),
        code=code,
        message=str(error.get("Message", "")),
        request_id=metadata.get("RequestId") or error.get("RequestId"),
    )


def parse_error_body(status: int, text: str) -> S3Error:
    """Read code, message and request id out of an XML error body."""
    found = {name: pattern.search(text) for name, pattern in _XML_FIELD.items()}
    values = {name: match[1] if match else "" for name, match in found.items()}
    return S3Error(status, values["Code"], values["Message"], values["RequestId"] or None)


def expired_on_arrival() -> AccessError:
    """Return the error for fresh credentials that have ended: a clock is wrong somewhere."""
    hint = "set this machine's clock (NTP), or see what provides the credentials"
    return AccessError(_EXPIRED_ON_ARRIVAL, hint=hint)


def no_credentials(reason: str, retryable: bool = False) -> AccessError:
    """Return the error for credentials that cannot be had."""
    hint = "check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, the instance or container role"
    return AccessError(f"no usable credentials: {reason}", hint=hint, retryable=retryable)


def connection_error(cause: object, name: str, what: str) -> OrchestratorError:
    """Return the error for a request without an answer, from the name and text of what was raised.

    Its message has words of ours only: the text may hold a URL.
    """
    text = _URL.sub("", str(cause)).lower()
    if "certificate" in text:
        return UnavailableError(
            f"{what}: the server's TLS certificate is not trusted",
            hint="for a private CA set AWS_CA_BUNDLE to its certificate file",
        )
    if any(sign in text for sign in _NO_TLS):
        failure = "the server does not speak TLS"
        return UnavailableError(f"{what}: {failure}", hint=_ENDPOINT_HINT, retryable=True)
    refusal = _TUNNEL_REFUSED.search(text)
    if refusal:
        return _refused_by_proxy(int(refusal[1]), what)
    failure = _transport_failure(text, name)
    return UnavailableError(f"{what}: {failure}", hint=RESUME_HINT, retryable=True)


def _refused_by_proxy(status: int, what: str) -> OrchestratorError:
    if status == 407:
        hint = "set HTTPS_PROXY, or HTTP_PROXY, with USER:PASSWORD@ before the host"
        return AccessError(f"{what}: the proxy asks for credentials", hint=hint)
    hint = "HTTPS_PROXY and HTTP_PROXY name the proxy, NO_PROXY the hosts to reach without"
    message = f"{what}: the proxy answered {status}"
    return UnavailableError(message, hint=hint, retryable=_can_pass(status))


def _transport_failure(text: str, name: str) -> str:
    if "refused" in text:
        return "connection refused"
    if "timed out" in text or "timeout" in text or "Timeout" in name:
        return "no answer in time"
    if "resolve" in text or "dns error" in text:
        return "the host name cannot be resolved"
    if any(sign in text for sign in _OUT_OF_REACH):
        return "the host cannot be reached"
    return "the connection broke"
