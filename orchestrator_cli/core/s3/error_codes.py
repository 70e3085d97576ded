"""What each error code and status of S3 means: a table, to which a new code is one line more.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    AccessError,
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UnsupportedError,
    UsageError,
)


class S3Error(NamedTuple):
    """An error response of S3: HTTP status, error code, message and request id, where given.

    `region` is the bucket's, where the response names it. `action` is what the request needs,
    such as `s3:PutObject`.
    """

    status: int
    code: str
    message: str = ""
    request_id: str | None = None
    region: str | None = None
    action: str | None = None


class ErrorMeaning(NamedTuple):
    """The exception for an error, what its message says, and what the user may do.

    `retryable`: the same request may succeed later. `is_fatal`: it concerns every object of a run.
    `quotes_s3`: S3's own words are added to the message. `is_throttled`: fewer requests are wanted.
    `is_denial`: a policy denies the request, or none allows it.
    """

    kind: type[OrchestratorError]
    text: str
    hint: str | None = None
    retryable: bool = False
    is_fatal: bool = False
    quotes_s3: bool = False
    is_throttled: bool = False
    is_denial: bool = False


NOT_S3_HINT = "check the endpoint, and whether the network asks for a login"
SERVER_HINT = "check the endpoint, and whether its server is up"
CA_HINT = "for a private CA set AWS_CA_BUNDLE to its certificate file"
ENDPOINT_HINT = "check the endpoint, and whether it is of http or of https"
DENIED_HINT = "`orchestrator doctor` shows what these credentials may do"
CREDENTIALS_HINT = (
    "check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, the instance or container role"
)
LOGIN_HINT = "log in again, as by `aws sso login`"
_KEYS_HINT = "check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN"
_ACCOUNT_HINT = "see the messages and bills of the AWS account"
PROXY_HINT = "set HTTPS_PROXY, or HTTP_PROXY, with USER:PASSWORD@ before the host"
_UNEXPLAINED_HINT = "usual reasons: expired credentials, another region, http where https is spoken"

_BUSY = ErrorMeaning(UnavailableError, "the storage answered {status} {code}", retryable=True)
_THROTTLED = _BUSY._replace(is_throttled=True)
_OTHER = ErrorMeaning(OrchestratorError, "the storage answered {status} {code}", quotes_s3=True)
_UNSUPPORTED = _OTHER._replace(kind=UnsupportedError)
_DENIED = ErrorMeaning(AccessError, "access denied", DENIED_HINT, quotes_s3=True, is_denial=True)
_EXPIRED = ErrorMeaning(
    AccessError, "the credentials have expired", "get new credentials", is_fatal=True
)
_CLOCK = ErrorMeaning(
    AccessError,
    "the clock that signed it is wrong",
    "set this machine's clock (NTP)",
    is_fatal=True,
)
_WRONG_KEYS = ErrorMeaning(AccessError, "the credentials are not valid", _KEYS_HINT, is_fatal=True)
_WRONG_TOKEN = _WRONG_KEYS._replace(text="the session token is not valid")
_ACCOUNT = ErrorMeaning(
    AccessError,
    "there is a problem with the AWS account",
    _ACCOUNT_HINT,
    is_fatal=True,
    quotes_s3=True,
)
_KMS = ErrorMeaning(
    OrchestratorError,
    "the KMS key of the object cannot be used: {code}",
    "see the state and the policy of the key",
    quotes_s3=True,
)
_DIGEST = ErrorMeaning(
    IntegrityError, "the bytes that arrived do not match their checksum", retryable=True
)
_NOT_FOUND = ErrorMeaning(NotFoundError, "not found")
_CHANGED = ErrorMeaning(ConflictError, "the key is taken or has changed")
_CONCURRENT = ErrorMeaning(
    ConflictError, "another write to the same key is under way", retryable=True
)
_FULL = ErrorMeaning(
    UnavailableError,
    "the storage has no room for it",
    "make room there, or have the bucket's quota raised",
    quotes_s3=True,
)
_REDIRECTED = ErrorMeaning(
    UnavailableError, "what answered is not S3: it redirects elsewhere", NOT_S3_HINT
)
_PROXY_CREDENTIALS = ErrorMeaning(
    AccessError, "the proxy asks for credentials", PROXY_HINT, is_fatal=True
)
_UNEXPLAINED = ErrorMeaning(
    AccessError, "the storage refused the request and does not say why", _UNEXPLAINED_HINT
)

NO_SUCH_UPLOAD = "NoSuchUpload"
# Of an empty object there is no range at all.
INVALID_RANGE = "InvalidRange"
# Ceph names the key of an upload that has ended; where nothing says a code, the status is one.
_ENDED_UPLOAD_CODES = frozenset({NO_SUCH_UPLOAD, "NoSuchKey", "404"})
# Of an upload that holds other parts than those that are named when it is completed.
_FOREIGN_PART_CODES = frozenset({"InvalidPart", "InvalidPartOrder"})
EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
BY_CODE: dict[str, ErrorMeaning] = {
    **dict.fromkeys(EXPIRED_CODES, _EXPIRED),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED._replace(
        text="all access to the bucket is disabled", hint=_ACCOUNT_HINT, is_fatal=True
    ),
    "AccountProblem": _ACCOUNT,
    "NotSignedUp": _ACCOUNT,
    "InvalidAccessKeyId": _WRONG_KEYS._replace(text="S3 does not know the access key"),
    "SignatureDoesNotMatch": _WRONG_KEYS._replace(
        text="the secret key does not belong to the access key"
    ),
    "AuthFailure": _WRONG_KEYS,
    "AuthorizationHeaderMalformed": _WRONG_KEYS,
    "InvalidToken": _WRONG_TOKEN,
    "InvalidClientTokenId": _WRONG_TOKEN,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestInTheFuture": _CLOCK,
    "KMS.DisabledException": _KMS,
    "KMS.InvalidStateException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.NotFoundException": _KMS,
    "InvalidObjectState": ErrorMeaning(ArchivedError, "the object is archived", "restore it first"),
    "RestoreAlreadyInProgress": _CHANGED._replace(text="its restore is under way"),
    "NoSuchBucket": ErrorMeaning(
        NotFoundError,
        "no such bucket",
        "check its name, and that the region and the account are those of the bucket",
        is_fatal=True,
    ),
    "InvalidBucketName": ErrorMeaning(
        UsageError, "that is no name of a bucket", "check the name of the bucket", is_fatal=True
    ),
    "NoSuchKey": _NOT_FOUND,
    NO_SUCH_UPLOAD: _NOT_FOUND,
    "NoSuchVersion": _NOT_FOUND,
    "KeyTooLongError": ErrorMeaning(UsageError, "the key is too long"),
    "PreconditionFailed": _CHANGED,
    "ConditionalRequestConflict": _CONCURRENT,
    "OperationAborted": _CONCURRENT,
    "BadDigest": _DIGEST,
    "IncompleteBody": _DIGEST,
    "XAmzContentSHA256Mismatch": _DIGEST,
    "XAmzContentChecksumMismatch": _DIGEST,
    # Of Ceph, of MinIO.
    "QuotaExceeded": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "NotImplemented": _UNSUPPORTED,
    "XNotImplemented": _UNSUPPORTED,
    "MethodNotAllowed": _UNSUPPORTED,
    "SlowDown": _THROTTLED,
    "SlowDownRead": _THROTTLED,
    "SlowDownWrite": _THROTTLED,
    "InternalError": _BUSY,
    "ServiceUnavailable": _THROTTLED,
    "RequestTimeout": _BUSY,
    "RequestTimeoutException": _BUSY,
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "KMS.ThrottlingException": _THROTTLED,
    "BandwidthLimitExceeded": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "Busy": _BUSY,
}
_BY_STATUS: dict[int, ErrorMeaning] = {
    401: _DENIED,
    403: _DENIED,
    404: _NOT_FOUND,
    407: _PROXY_CREDENTIALS,
    408: _BUSY,
    409: _CONCURRENT,
    412: _CHANGED,
    # Too early, or on a connection for another host: both ask for the same request once more.
    421: _BUSY,
    425: _BUSY,
    429: _BUSY,
    **dict.fromkeys((301, 302, 303, 307, 308), _REDIRECTED),
    405: _UNSUPPORTED,
    501: _UNSUPPORTED,
    # HTTP version not supported: sending again does not change that.
    505: _OTHER,
}


def error_meaning(status: int, code: str) -> ErrorMeaning:
    """Return what an error response means, by its code, or else by its status."""
    if code in BY_CODE and status != 407:
        return BY_CODE[code]
    if status == 400 and code in ("", "400"):
        return _UNEXPLAINED
    return _BY_STATUS.get(status, _BUSY if status >= 500 else _OTHER)


def is_throttling(code: str | None) -> bool:
    """Return True for a code by which S3 asks for fewer requests."""
    return code in BY_CODE and BY_CODE[code].is_throttled


def is_ended_upload(error: OrchestratorError) -> bool:
    """Return True if a request failed because its multipart upload was completed or aborted."""
    return isinstance(error, NotFoundError) and error.code in _ENDED_UPLOAD_CODES


def has_foreign_parts(error: OrchestratorError) -> bool:
    """Return True if a request failed because its multipart upload holds parts of others."""
    return error.code in _FOREIGN_PART_CODES


def ended_upload_error() -> NotFoundError:
    """Return the exception for an upload that turned out to have ended."""
    return NotFoundError("the upload was ended", code=NO_SUCH_UPLOAD)


class NotS3Error(UnavailableError):
    """The response is not S3's."""


def unexpected_response(what: str) -> NotS3Error:
    """Return the error for a response that no S3 gives."""
    return NotS3Error(f"{what}: what answered is not S3", hint=NOT_S3_HINT, retryable=True)
