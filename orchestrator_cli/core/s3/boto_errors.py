"""Map botocore's exceptions to the errors of our own requests, so that both are told alike.

The types of an exception and of its causes decide, never its text.
"""

from __future__ import annotations

from typing import Any

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable, without_urls
from orchestrator_cli.core.s3.error_codes import S3Error, unexpected_response
from orchestrator_cli.core.s3.permissions import action_of_operation

# Operations by which credentials are fetched, or the beginnings of their names, and their service.
_CREDENTIAL_OPERATIONS = {
    "AssumeRole": "sts",
    "GetSessionToken": "sts",
    "CreateToken": "sso-oauth",
    "GetRoleCredentials": "sso",
}
_LOGGED_OUT = (botocore.SSOError, botocore.TokenRetrievalError)
_SETTINGS = (
    botocore.ParamValidationError,
    botocore.InvalidRegionError,
    botocore.EndpointProviderError,
    botocore.ConfigParseError,
)


def as_s3_error(error: Exception) -> S3Error | None:
    """Return the error response that an exception carries; None where it carries none."""
    if not isinstance(error, botocore.ClientError):
        return None
    response: Any = error.response
    fields, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(fields.get("Code", ""))
    headers = metadata.get("HTTPHeaders", {})
    return S3Error(
        status=int(metadata.get("HTTPStatusCode") or (code if code.isdecimal() else 0)),
        code=code,
        message=str(fields.get("Message") or ""),
        request_id=metadata.get("RequestId") or fields.get("RequestId"),
        region=fields.get("Region") or headers.get("x-amz-bucket-region"),
        action=_action_of(error.operation_name),
    )


def credential_operation(error: Exception) -> str | None:
    """Return the operation of STS or SSO that failed; None for an operation of S3."""
    operation = str(getattr(error, "operation_name", ""))
    return operation if operation.startswith(tuple(_CREDENTIAL_OPERATIONS)) else None


def _action_of(operation: str) -> str:
    """Return the IAM action that an operation needs, such as `s3:ListBucket`."""
    for beginning, service in _CREDENTIAL_OPERATIONS.items():
        if operation.startswith(beginning):
            return f"{service}:{operation}"
    return action_of_operation(operation)


def asks_for_login(error: Exception) -> bool:
    """Return True where somebody has to log in once more, as with `aws sso login`."""
    return isinstance(error, _LOGGED_OUT)


def setting_error(error: Exception, what: str) -> OrchestratorError | None:
    """Return the exception for unusable settings, or for a response that is not S3's."""
    if isinstance(error, ResponseParserError):
        return unexpected_response(what)
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
    """Return True where the credential service may be away for a moment."""
    return isinstance(error, botocore.CredentialRetrievalError | botocore.MetadataRetrievalError)
