"""Turn what S3, libcurl and botocore report into this library's exceptions.

Servers differ in their messages (some send none), so S3's error code and the HTTP status decide, or
the kind of a transport's error; `error_codes` has the table. No message repeats a URL: a presigned
one is a credential.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from orchestrator_cli.core.base.errors import (
    AccessError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable, without_secrets, without_urls
from orchestrator_cli.core.http.transport import (
    InvalidRequestError,
    TransportError,
    TransportErrorKind,
)
from orchestrator_cli.core.s3.error_codes import (
    CA_HINT,
    CREDENTIALS_HINT,
    ENDPOINT_HINT,
    LOGIN_HINT,
    PROXY_HINT,
    SERVER_HINT,
    ErrorMeaning,
    S3Error,
    error_meaning,
)
from orchestrator_cli.core.s3.regions import REGION, is_region

_REGION_CODES = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "Redirect", "IllegalLocationConstraintException"}
)
_CREDENTIAL_HEADERS = ("authorization", "x-amz-security-token")

# An error document, or a message in it, is never longer; what is matched is bounded by it.
_LONGEST_FIELD = 2000
_XML_FIELD = {
    name: rf"<{name}>([^<]{{1,{_LONGEST_FIELD}}})</{name}>"
    for name in ("Code", "Message", "RequestId", "Region", "Endpoint", "Expires")
}
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_REGION_OF_ENDPOINT = rf"\bs3[.-](?:dualstack\.)?({REGION})\."
# As AWS documents it: "… is not authorized to perform: kms:GenerateDataKey on resource: …".
_REFUSED_ACTION = r"not authorized to perform: ([\w-]+:\w+)"


class WrongRegionError(UsageError):
    """The bucket is in another region than the request was signed for; None: not known which."""

    region: str | None = None


def parse_error_body(status: int, text: str) -> S3Error:
    """Read what an XML error document says."""
    found = {name: re.search(pattern, text) for name, pattern in _XML_FIELD.items()}
    values = {name: _unescaped(match[1]) if match else "" for name, match in found.items()}
    at_endpoint = re.search(_REGION_OF_ENDPOINT, values["Endpoint"])
    if values["Code"] == "AccessDenied" and values["Expires"]:
        # An expired presigned URL has the same code; only the element `Expires` tells it apart.
        values["Code"] = "RequestExpired"
    region = values["Region"] or (at_endpoint[1] if at_endpoint else None)
    return S3Error(
        status, values["Code"], values["Message"], values["RequestId"] or None, region or None
    )


def _unescaped(text: str) -> str:
    # xml.sax.saxutils would import an HTTP client; the ampersand comes last.
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text


def error_from_s3(response: S3Error, what: str) -> OrchestratorError:
    """Return the exception for an error response.

    `what` names the request and the object, as in "upload of executions/…/runner.log".
    """
    common = {
        "request_id": without_urls(response.request_id) if response.request_id else None,
        "code": without_urls(response.code),
    }
    region = response.region if is_region(response.region or "") else None
    if response.code in _REGION_CODES or (region and _names_region(response)):
        return _wrong_region(region, what, common)
    meaning = error_meaning(response.status, response.code)
    error = meaning.kind(
        _message(meaning, response, what),
        hint=meaning.hint,
        retryable=meaning.retryable,
        is_fatal=meaning.is_fatal,
        **common,
    )
    error.is_throttled = meaning.is_throttled
    if isinstance(error, AccessError):
        error.is_denial = meaning.is_denial
        error.action = _refused_action(response) if meaning.is_denial else None
    return error


def _names_region(response: S3Error) -> bool:
    return response.status in (301, 307) or response.code == "AuthorizationHeaderMalformed"


def _wrong_region(region: str | None, what: str, common: dict[str, Any]) -> WrongRegionError:
    where = f"in {region}" if region else "in another region"
    hint = f"set --region or AWS_REGION to {region or 'its region'}"
    error = WrongRegionError(f"{what}: the bucket is {where}", hint=hint, is_fatal=True, **common)
    error.region = region
    return error


def _message(meaning: ErrorMeaning, response: S3Error, what: str) -> str:
    code = "" if response.code.isdecimal() else without_urls(response.code)
    message = f"{what}: {meaning.text.format(status=response.status, code=code)}".rstrip()
    said = _said(response) if meaning.quotes_s3 else ""
    action = _refused_action(response) if issubclass(meaning.kind, AccessError) else None
    # Other codes have words of their own for what is wrong, which is not the action.
    is_named = meaning.quotes_s3 and (not said or response.code == "AccessDenied")
    if action and is_named and action not in said:
        message = f"{message} ({action})"
    return f"{message}: {said}" if said else message


def _said(response: S3Error) -> str:
    """Return S3's own message, safe to show; "" where it only repeats the error code."""
    message, code = (
        "".join(filter(str.isalnum, text)).lower() for text in (response.message, response.code)
    )
    if message == code or response.code.isdecimal():
        return ""
    return without_urls(without_secrets(response.message[:_LONGEST_FIELD])).strip()


def _refused_action(response: S3Error) -> str | None:
    """Return the refused action: the one that S3 names, or else that of the request."""
    named = re.search(_REFUSED_ACTION, response.message)
    return named[1] if named else response.action


# --- no response -----------------------------------------------------------------------------


class _Failure(NamedTuple):
    """The message and hint for a kind of transport error."""

    hint: str | None = None
    is_fatal: bool = False
    kind: type[OrchestratorError] = UnavailableError


# Whether it is out of reach for everything, only who sends many requests knows.
_NOT_REACHED = _Failure(SERVER_HINT)
_FAILURES = {
    TransportErrorKind.RESOLVE: _NOT_REACHED,
    TransportErrorKind.REFUSED: _NOT_REACHED,
    TransportErrorKind.UNREACHABLE: _NOT_REACHED,
    TransportErrorKind.CONNECT_TIMEOUT: _NOT_REACHED,
    TransportErrorKind.CERTIFICATE: _Failure(CA_HINT, is_fatal=True),
    TransportErrorKind.CERTIFICATE_DATES: _Failure(
        "check the clock of this machine, and have the certificate renewed", is_fatal=True
    ),
    TransportErrorKind.CERTIFICATE_HOST: _Failure(
        "check the host of the endpoint, and whether something answers in its place", is_fatal=True
    ),
    TransportErrorKind.CA_FILE: _Failure("check AWS_CA_BUNDLE", is_fatal=True, kind=UsageError),
    TransportErrorKind.NOT_TLS: _Failure(ENDPOINT_HINT, is_fatal=True),
    TransportErrorKind.PROXY_AUTH: _Failure(PROXY_HINT, is_fatal=True, kind=AccessError),
    TransportErrorKind.PROXY_REFUSED: _Failure(
        "HTTPS_PROXY and HTTP_PROXY name the proxy, NO_PROXY the hosts to reach without",
        is_fatal=True,
    ),
    TransportErrorKind.MALFORMED: _Failure(ENDPOINT_HINT),
    TransportErrorKind.TOO_LARGE: _Failure(ENDPOINT_HINT),
}


# Of a request that was sent. A connection is given up sooner.
_TIMEOUTS = frozenset({TransportErrorKind.STALLED, TransportErrorKind.TOO_SLOW})


def connection_error(error: TransportError, what: str) -> OrchestratorError:
    """Return the exception for a request that got no whole response."""
    failure = _FAILURES.get(error.kind, _Failure())
    mapped = failure.kind(
        f"{what}: {printable(error)}",
        hint=failure.hint,
        retryable=error.is_retryable,
        is_fatal=failure.is_fatal,
    )
    mapped.is_timeout = error.kind in _TIMEOUTS
    return mapped


def map_exception(error: Exception, what: str) -> Exception:
    """Return the library's exception for a failed request, or the same error if it is not one."""
    if isinstance(error, OrchestratorError):
        return error
    if isinstance(error, TransportError):
        return connection_error(error, what)
    if isinstance(error, InvalidRequestError):
        hint = "look for a line break at its end, as of a file it was read from"
        if error.header in _CREDENTIAL_HEADERS:
            message = "the credentials have characters that none can have"
            return AccessError(message, hint=hint, is_fatal=True)
        return UsageError(f"{what}: {error}", hint=hint if error.header else None)
    if type(error).__module__.partition(".")[0] == "botocore":
        return _from_botocore(error, what)
    return error


def _from_botocore(error: Exception, what: str) -> OrchestratorError:
    from orchestrator_cli.core.s3 import boto_errors

    response = boto_errors.as_s3_error(error)
    if response is None:
        # Not a setting, so a provider of credentials failed: SSO, STS, a metadata service.
        return boto_errors.setting_error(error, what) or no_credentials(
            without_urls(str(error).strip()),
            retryable=boto_errors.can_pass(error),
            hint=LOGIN_HINT if boto_errors.asks_for_login(error) else None,
        )
    mapped = error_from_s3(response, what)
    operation = boto_errors.credential_operation(error)
    if operation and not mapped.retryable:
        if not isinstance(mapped, AccessError):
            code = printable(response.code)
            return no_credentials(f"{operation} answered {code}: {_said(response)}")
        # Without credentials no object fares better.
        mapped.is_fatal = True
        mapped.hint = CREDENTIALS_HINT if mapped.is_denial else mapped.hint
    return mapped


def no_credentials(reason: str, retryable: bool = False, hint: str | None = None) -> AccessError:
    """Return the error for credentials that cannot be had."""
    message = f"no usable credentials: {reason}"
    return AccessError(message, hint=hint or CREDENTIALS_HINT, retryable=retryable, is_fatal=True)
