"""Probes of what these credentials may do, and of how the bucket is set up."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import (
    AccessError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UnsupportedError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.executions.doctor.checker import ProbeResult, Verdict
from orchestrator_cli.core.executions.doctor.scratch import (
    FIRST,
    NO_UPLOAD,
    TEXT,
    Scratch,
    only_denials_raised,
)
from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, execution_prefix
from orchestrator_cli.core.s3.bucket.settings import read_setting
from orchestrator_cli.core.s3.operations.object_head import parse_http_date

_LARGEST_SKEW_SECONDS = 60


# --- permissions -----------------------------------------------------------------------------


def check_credentials(scratch: Scratch) -> ProbeResult:
    """Find out whether the credentials end, and when."""
    lifetime = scratch.store.session.credential_lifetime()
    if lifetime.expires_at is not None:
        left = int((lifetime.expires_at - scratch.now()).total_seconds())
        return Verdict.OK, f"temporary, for another {left // 60} min"
    if lifetime.temporary:
        return Verdict.OK, "temporary; they do not say when they end"
    return Verdict.OK, "they do not expire"


def list_executions(scratch: Scratch) -> ProbeResult:
    """List one object below executions/."""
    next(scratch.store.list_objects(EXECUTIONS_PREFIX, at_once=1), None)
    return Verdict.OK, "allowed"


def check_clock(scratch: Scratch) -> ProbeResult:
    """Compare this machine's clock with the server's."""
    response = scratch.call("list_objects_v2", MaxKeys=1, Prefix=EXECUTIONS_PREFIX)
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        seconds = abs((scratch.now() - parse_http_date(date or "")).total_seconds())
    except ValueError:
        return Verdict.SKIPPED, "the server does not say its time"
    verdict = Verdict.OK if seconds <= _LARGEST_SKEW_SECONDS else Verdict.DEGRADED
    return verdict, f"{seconds:.0f} s away from the server's; S3 refuses over 15 min"


def delete_scratch(scratch: Scratch) -> ProbeResult:
    """Find out below which prefixes scratch objects can be removed again."""
    failure = ""
    for prefix in scratch.prefixes:
        try:
            scratch.call("delete_object", Key=f"{prefix}doctor")
        except OrchestratorError as error:
            is_about_credentials = isinstance(error, AccessError) and not error.is_denial
            if error.is_fatal or is_about_credentials:
                raise
            failure = "not allowed" if isinstance(error, AccessError) else error.message
        else:
            scratch.deletable.add(prefix)
    if execution_prefix(scratch.execution_id) in scratch.deletable:
        return Verdict.OK, "allowed"
    return Verdict.SKIPPED, f"{failure}, and only doctor needs it: nothing is stored"


def write_file(scratch: Scratch) -> ProbeResult:
    """Store a scratch file among the artifacts."""
    finding = write_object(scratch, scratch.key("written"))
    scratch.can_store = scratch.may_delete(scratch.key("written"))
    return finding


def write_object(scratch: Scratch, key: str) -> ProbeResult:
    """Store a scratch object where it can be removed again; else only ask for the permission."""
    if scratch.may_delete(key):
        scratch.store.put_if_absent(key, FIRST, TEXT, listed_etag="")
        return Verdict.OK, "allowed"
    # A part of an upload that does not exist needs the same permission, and stores nothing.
    with only_denials_raised():
        scratch.send_part(key, NO_UPLOAD, FIRST)
    return Verdict.OK, "allowed; nothing was stored"


def read_object(scratch: Scratch, key: str) -> ProbeResult:
    """Read a scratch object, whether it is there or not."""
    with suppress_unless_fatal(NotFoundError):
        scratch.store.get(key)
    return Verdict.OK, "allowed"


def abort_upload(scratch: Scratch) -> ProbeResult:
    """Abort an upload that does not exist, which takes the same permission."""
    with only_denials_raised():
        scratch.call("abort_multipart_upload", Key=scratch.key("none"), UploadId=NO_UPLOAD)
    scratch.can_abort = True
    return Verdict.OK, "allowed"


# --- settings --------------------------------------------------------------------------------


def read_encryption(scratch: Scratch) -> ProbeResult:
    """Find out which encryption the bucket has by default."""
    try:
        response = read_setting(
            scratch.store, "get_bucket_encryption", "ServerSideEncryptionConfiguration"
        ).response
    except OrchestratorError as error:
        none = "ServerSideEncryptionConfigurationNotFoundError"
        return without_setting(error, none, "none by default")
    rules = response.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    if not rules:
        return Verdict.INFO, "none by default"
    algorithm = rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm")
    return Verdict.INFO, f"{algorithm} by default"


def read_versioning(scratch: Scratch) -> ProbeResult:
    """Find out whether the bucket keeps versions."""
    try:
        response = read_setting(
            scratch.store, "get_bucket_versioning", "VersioningConfiguration"
        ).response
    except OrchestratorError as error:
        return without_setting(error)
    return Verdict.INFO, str(response.get("Status", "off")).lower()


def without_setting(error: OrchestratorError, none_code: str = "", none: str = "") -> ProbeResult:
    """Return the finding for a setting that could not be read, or that is not there."""
    if isinstance(error, UnavailableError):
        raise error
    if isinstance(error, AccessError):
        return Verdict.INFO, "not visible with these credentials"
    if none_code and error.code == none_code:
        return Verdict.INFO, none
    if isinstance(error, UnsupportedError):
        return Verdict.INFO, "this server has none"
    return Verdict.INFO, f"the server does not say ({error.code})"
