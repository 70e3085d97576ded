"""What S3 answers, libcurl reports and botocore raises mean the same, and tell no secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

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
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import InvalidRequestError, Response, TransportError
from orchestrator_cli.core.http.transport import Request as HttpRequest
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from orchestrator_cli.core.http.url import host_of
from orchestrator_cli.core.s3.connection.boto_transport import make_session
from orchestrator_cli.core.s3.error_codes import BY_CODE, S3Error
from orchestrator_cli.core.s3.errors import (
    WrongRegionError,
    error_from_s3,
    map_exception,
    parse_error_body,
)
from orchestrator_cli.core.s3.operations.request import error_from_response
from orchestrator_cli.core.s3.permissions import action_of_operation, action_of_request
from tests.support.proxy.faults import Answer, Answered, Fault, ResetBefore, Waiting
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, scripted

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "executions/01JABCDEFGHJKMNPQRSTVWXYZ0/logs/stdout.log"
SIGNATURE = "0123456789abcdef"

Request = Callable[[], object]


# --- the clients, as the library makes them --------------------------------------------------


@dataclass(frozen=True)
class Clients:
    """The clients of one endpoint; each request fails."""

    endpoint_url: str
    boto: S3Client
    transport: EasyTransport

    def boto_get(self, key: str = KEY) -> object:
        return self.boto.get_object(Bucket="bucket", Key=key)

    def boto_put(self, key: str = KEY) -> object:
        return self.boto.put_object(Bucket="bucket", Key=key, Body=b"x", IfNoneMatch="*")

    def boto_head(self, key: str = KEY) -> object:
        return self.boto.head_object(Bucket="bucket", Key=key)

    def own_get(self, key: str = KEY) -> object:
        return self._send("GET", key)

    def own_head(self, key: str = KEY) -> object:
        return self._send("HEAD", key)

    def own_put(self, key: str = KEY) -> object:
        return self._send("PUT", key, b"x")

    def _send(self, method: str, key: str, body: bytes = b"") -> object:
        """Send one request through a presigned URL."""
        url = f"{self.endpoint_url}/bucket/{quote(key)}?X-Amz-Signature={SIGNATURE}"
        response = self.transport.send(HttpRequest(method, url, body=body))
        told = parse_error_body(response.status, response.body.decode("utf-8", "replace"))
        told = told._replace(
            request_id=told.request_id or response.headers.get("x-amz-request-id"),
            region=told.region or response.headers.get("x-amz-bucket-region"),
            action=action_of_request(method, key),
        )
        raise error_from_s3(told, f"read of {KEY}")

    @property
    def requests(self) -> dict[str, Request]:
        """Those whose answer has a body."""
        names = ("boto_get", "boto_put", "own_get", "own_put")
        return {name: getattr(self, name) for name in names}

    @property
    def heads(self) -> dict[str, Request]:
        """Those whose answer has none."""
        return {"boto_head": self.boto_head, "own_head": self.own_head}


@contextmanager
def make_clients(endpoint_url: str, timeout_seconds: float = 30) -> Iterator[Clients]:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    options = ClientOptions(
        connect_timeout_seconds=timeout_seconds, stall_timeout_seconds=timeout_seconds
    )
    transport, boto = EasyTransport(options), make_boto(endpoint_url, config, options)
    try:
        yield Clients(endpoint_url, boto, transport)
    finally:
        transport.close()
        boto.close()


def make_boto(endpoint_url: str, config: Config, options: ClientOptions) -> S3Client:
    session = boto3.Session(botocore_session=make_session(None, "us-east-1", options))
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="SECRETEXAMPLE",
        config=config,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Proxy]:
    """A server that answers what the test says; there is nothing behind it."""
    with run_proxy("http://127.0.0.1:9") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def clients(server: Proxy) -> Iterator[Clients]:
    with make_clients(server.endpoint_url) as made:
        yield made


@pytest.fixture(autouse=True)
def _healed(server: Proxy) -> Iterator[None]:
    yield
    server.heal()


@dataclass
class Body(Fault):
    """Answer any body at all."""

    status: int
    body: bytes = b""

    def request_head(self, waiting: Waiting) -> None:
        raise Answered(self.status, self.body, {})


def failure(request: Request, what: str = f"read of {KEY}") -> Any:
    """Return the library's exception for a request that fails."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one it is depends on the client
        request()
    return map_exception(raised.value, what)


def told(error: OrchestratorError) -> str:
    return " ".join(map(str, (error, error.message, error.hint, error.request_id, error.code)))


def assert_tells_no_secret(error: OrchestratorError) -> None:
    text = told(error)
    assert printable(text) == text
    for secret in ("://", "X-Amz-", SIGNATURE, "AKIDEXAMPLE", "SECRETEXAMPLE", "hunter2"):
        assert secret not in text


# --- what S3 answers -------------------------------------------------------------------------

ANSWERS = [
    (400, "ExpiredToken", AccessError, False, True),
    (400, "InvalidToken", AccessError, False, True),
    (400, "AuthorizationHeaderMalformed", AccessError, False, True),
    (400, "BadDigest", IntegrityError, True, False),
    (400, "XAmzContentChecksumMismatch", IntegrityError, True, False),
    (400, "IncompleteBody", IntegrityError, True, False),
    (400, "RequestTimeout", UnavailableError, True, False),
    (400, "InvalidRequest", OrchestratorError, False, False),
    (400, "KMS.DisabledException", OrchestratorError, False, False),
    (400, "InvalidBucketName", UsageError, False, True),
    (400, "XMinioAdminBucketQuotaExceeded", UnavailableError, False, False),
    (401, "Unauthorized", AccessError, False, False),
    (403, "AccessDenied", AccessError, False, False),
    (403, "AccountProblem", AccessError, False, True),
    (403, "InvalidAccessKeyId", AccessError, False, True),
    (403, "SignatureDoesNotMatch", AccessError, False, True),
    # A 403 is not always a matter of access.
    (403, "RequestTimeTooSkewed", AccessError, False, True),
    (403, "InvalidObjectState", ArchivedError, False, False),
    (403, "QuotaExceeded", UnavailableError, False, False),
    (403, "RequestLimitExceeded", UnavailableError, True, False),
    (404, "NoSuchKey", NotFoundError, False, False),
    (404, "NoSuchBucket", NotFoundError, False, True),
    (404, "NoSuchUpload", NotFoundError, False, False),
    (405, "MethodNotAllowed", UnsupportedError, False, False),
    (408, "RequestTimeout", UnavailableError, True, False),
    (409, "ConditionalRequestConflict", ConflictError, True, False),
    (409, "OperationAborted", ConflictError, True, False),
    (412, "PreconditionFailed", ConflictError, False, False),
    (416, "InvalidRange", OrchestratorError, False, False),
    (429, "TooManyRequests", UnavailableError, True, False),
    (500, "InternalError", UnavailableError, True, False),
    (501, "NotImplemented", UnsupportedError, False, False),
    (502, "BadGateway", UnavailableError, True, False),
    (503, "SlowDown", UnavailableError, True, False),
    (504, "GatewayTimeout", UnavailableError, True, False),
    (507, "InsufficientStorage", UnavailableError, True, False),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable", "fatal"), ANSWERS)
def test_an_answer_means_the_same_whoever_got_it(
    server: Proxy,
    clients: Clients,
    status: int,
    code: str,
    kind: type[OrchestratorError],
    retryable: bool,
    fatal: bool,
) -> None:
    message = f"See https://s3.example.com/?X-Amz-Signature={SIGNATURE} now"
    server.inject(Answer(status, code, message), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        assert type(error) is kind, name
        assert (error.code, error.retryable, error.is_fatal) == (code, retryable, fatal), name
        assert error.request_id == "FAULT0000000001", name
        assert KEY in error.message, name
        assert "same command" not in str(error.hint), name
        assert_tells_no_secret(error)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        # What AWS answers to HEAD with an expired token: without a body there is no code.
        (400, AccessError, False),
        (403, AccessError, False),
        (404, NotFoundError, False),
        (405, UnsupportedError, False),
        (409, ConflictError, True),
        (412, ConflictError, False),
        (421, UnavailableError, True),
        (425, UnavailableError, True),
        (429, UnavailableError, True),
        (500, UnavailableError, True),
        (501, UnsupportedError, False),
        (503, UnavailableError, True),
    ],
)
def test_an_answer_without_a_body_is_understood_by_its_status(
    server: Proxy, clients: Clients, status: int, kind: type[OrchestratorError], retryable: bool
) -> None:
    server.inject(Body(status), times=None)
    for name, request in (clients.requests | clients.heads).items():
        error = failure(request)
        assert (type(error), error.retryable) == (kind, retryable), name


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "have expired"),
        ("ExpiredTokenException", "have expired"),
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "secret key does not belong"),
        ("RequestTimeTooSkewed", "clock that signed it is wrong"),
        ("AccountProblem", "problem with the AWS account"),
        ("AccessDenied", "access denied"),
    ],
)
def test_why_access_is_denied_is_said(code: str, words: str) -> None:
    error = error_from_s3(S3Error(403, code), "read of k")
    assert words in error.message
    assert error.hint


def test_a_presigned_url_that_has_ended_is_no_denial() -> None:
    told = "<Code>AccessDenied</Code><Message>Request has expired</Message>"
    ended = "<X-Amz-Expires>60</X-Amz-Expires><Expires>2026-01-31T00:00:00Z</Expires>"
    assert not error_from_s3(parse_error_body(403, f"<Error>{told}</Error>"), "x").is_fatal
    error = error_from_s3(parse_error_body(403, f"<Error>{told}{ended}</Error>"), "x")
    assert (type(error), error.exit_code, error.is_fatal) == (AccessError, 5, True)
    assert "have expired" in error.message


def test_html_is_no_answer_of_s3(server: Proxy, clients: Clients) -> None:
    server.inject(Body(500, b"<html><title>Oops</title>"), times=None)
    for name, request in clients.requests.items():
        assert type(failure(request)) is UnavailableError, name


def test_an_answer_that_cannot_be_parsed_is_no_matter_of_credentials() -> None:
    unparsable = ResponseParserError("invalid XML received: b'<a href=http://x/?X-Amz-a'")
    error = map_exception(unparsable, "listing of bucket")
    assert isinstance(error, UnavailableError)
    assert error.message == "listing of bucket: what answered is not S3"
    assert error.retryable
    assert_tells_no_secret(error)


@pytest.mark.parametrize("code", ["SlowDown", "KMS.ThrottlingException", "InternalError"])
def test_a_code_says_whether_fewer_requests_are_wanted(code: str) -> None:
    error = error_from_s3(S3Error(400, code), "read of k")
    assert error.retryable
    assert error.is_throttled == (code != "InternalError")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_that_names_no_region_is_none_of_s3(status: int) -> None:
    error = error_from_s3(S3Error(status, ""), "read of k")
    assert type(error) is UnavailableError
    assert "not S3" in error.message
    assert "region" not in told(error)


@pytest.mark.parametrize(
    ("status", "retryable"),
    # 509 and 520 are said by what stands before some services.
    [(500, True), (501, False), (505, False), (507, True), (509, True), (520, True), (599, True)],
)
def test_what_a_server_fails_at_can_pass_unless_it_never_will(status: int, retryable: bool) -> None:
    error = error_from_s3(S3Error(status, ""), "read of k")
    assert isinstance(error, UnavailableError) is error.retryable is retryable


@given(
    st.integers(0, 999),
    st.text(max_size=20) | st.sampled_from(sorted(BY_CODE)),
    st.text(max_size=20)
    | st.just(f"a https://x/?X-Amz-Signature={SIGNATURE}&X-Amz-Expires=1 b")
    | st.just("you sent https://user:hunter2@host/ <Token>"),
    st.none() | st.text(max_size=20),
    st.none() | st.text(max_size=20) | st.just("eu-west-1"),
)
def test_no_answer_can_act_on_a_terminal_or_tell_a_secret(
    status: int, code: str, message: str, request_id: str | None, region: str | None
) -> None:
    error = error_from_s3(S3Error(status, code, message, request_id, region), "read of k")
    assert error.message.startswith("read of k: ")
    assert_tells_no_secret(error)


@given(st.text(max_size=60) | st.text("<>/Code RequstId", max_size=60))
def test_no_body_is_worse_than_an_unknown_error(body: str) -> None:
    answer = parse_error_body(418, body)
    assert isinstance(error_from_s3(answer, "read of k"), OrchestratorError)


# --- what S3 says itself ---------------------------------------------------------------------

KMS = (
    "User: arn:aws:iam::123456789012:user/bench is not authorized to perform: kms:GenerateDataKey "
    'on resource: "arn:aws:kms:eu-west-1:123456789012:key/1" because no identity-based policy '
    "allows the kms:GenerateDataKey action"
)


def test_a_refusal_is_shown_in_the_words_of_s3(server: Proxy, clients: Clients) -> None:
    server.inject(Answer(403, "AccessDenied", KMS.replace('"', "&quot;")), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        assert error.message == f"read of {KEY}: access denied: {KMS}", name
        # It is not the action that was asked for.
        assert error.action == "kms:GenerateDataKey", name
        assert "doctor" in error.hint, name


@pytest.mark.parametrize("message", ["Access Denied", "AccessDenied", ""])
def test_a_bare_refusal_names_the_action_that_was_asked_for(
    server: Proxy, clients: Clients, message: str
) -> None:
    server.inject(Answer(403, "AccessDenied", message), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        action = "s3:PutObject" if "put" in name else "s3:GetObject"
        assert error.action == action, name
        assert error.message == f"read of {KEY}: access denied ({action})", name


def test_a_refusal_in_words_that_name_no_action_names_the_one_that_was_asked_for(
    server: Proxy, clients: Clients
) -> None:
    server.inject(Answer(403, "AccessDenied", "Denied by policy lab-7"), times=None)
    for name, request in clients.requests.items():
        action = "s3:PutObject" if "put" in name else "s3:GetObject"
        told = f"read of {KEY}: access denied ({action}): Denied by policy lab-7"
        assert failure(request).message == told, name


@pytest.mark.parametrize(
    ("method", "key", "query", "action"),
    [
        ("GET", "k", (), "s3:GetObject"),
        ("HEAD", "k", (), "s3:GetObject"),
        ("HEAD", "k", ("versionId",), "s3:GetObjectVersion"),
        ("GET", "k", ("uploadId",), "s3:ListMultipartUploadParts"),
        ("PUT", "k", ("partNumber", "uploadId"), "s3:PutObject"),
        ("POST", "k", ("uploads",), "s3:PutObject"),
        ("POST", "k", ("uploadId",), "s3:PutObject"),
        ("POST", "k", ("restore",), "s3:RestoreObject"),
        ("DELETE", "k", ("uploadId",), "s3:AbortMultipartUpload"),
        ("DELETE", "k", ("versionId",), "s3:DeleteObjectVersion"),
        ("GET", "", ("list-type", "prefix"), "s3:ListBucket"),
        ("GET", "", ("uploads", "prefix"), "s3:ListBucketMultipartUploads"),
        ("GET", "", ("versions",), "s3:ListBucketVersions"),
        ("GET", "", ("versioning",), "s3:GetBucketVersioning"),
        ("PATCH", "k", (), None),
    ],
)
def test_each_request_tells_which_action_it_needs(
    method: str, key: str, query: tuple[str, ...], action: str | None
) -> None:
    assert action_of_request(method, key, query) == action


def test_each_operation_of_boto3_tells_which_action_it_needs() -> None:
    assert action_of_operation("PutObject") == "s3:PutObject"
    assert action_of_operation("ListObjectsV2") == "s3:ListBucket"
    lifecycle = action_of_operation("GetBucketLifecycleConfiguration")
    assert lifecycle == "s3:GetLifecycleConfiguration"


def test_a_bucket_that_does_not_exist_is_not_blamed_on_a_variable() -> None:
    error = error_from_s3(S3Error(404, "NoSuchBucket"), "listing of bucket")
    assert error.message == "listing of bucket: no such bucket"
    assert "ORCHESTRATOR_" not in told(error)


# --- regions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_names_the_right_region(server: Proxy, clients: Clients, status: int) -> None:
    # AWS answers it without the Location that a client could follow.
    region = {"x-amz-bucket-region": "eu-west-1"}
    code = "PermanentRedirect" if status == 301 else "TemporaryRedirect"
    server.inject(Answer(status, code, headers=region), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        assert type(error) is WrongRegionError, name
        assert error.region == "eu-west-1", name
        assert error.message == f"read of {KEY}: the bucket is in eu-west-1", name
        assert "AWS_REGION" in str(error.hint), name
        assert (error.exit_code, error.is_fatal) == (2, True), name


@pytest.mark.parametrize(
    "detail",
    [
        "<Region>eu-central-1</Region>",
        "<Endpoint>bucket.s3.eu-central-1.amazonaws.com</Endpoint>",
        "<Endpoint>bucket.s3-eu-central-1.amazonaws.com</Endpoint>",
        "<Endpoint>s3.dualstack.eu-central-1.amazonaws.com</Endpoint>",
    ],
)
def test_the_right_region_may_stand_in_the_document(detail: str) -> None:
    body = f"<Error><Code>PermanentRedirect</Code><Message>m</Message>{detail}</Error>"
    error = error_from_s3(parse_error_body(301, body), "read of k")
    assert isinstance(error, WrongRegionError)
    assert error.region == "eu-central-1"


def test_a_signature_for_another_region_is_no_wrong_key() -> None:
    body = (
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; "
        "expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>"
    )
    error = error_from_s3(parse_error_body(400, body), "read of k")
    assert isinstance(error, WrongRegionError)
    assert error.region == "eu-west-1"


@pytest.mark.parametrize("region", ["", "nowhere", "eu-west-1.evil.example", "\x1b[31m", "a-b"])
def test_what_is_no_region_is_not_believed(region: str) -> None:
    error = error_from_s3(S3Error(301, "PermanentRedirect", region=region), "read of k")
    assert isinstance(error, WrongRegionError)
    assert error.region is None
    assert error.message == "read of k: the bucket is in another region"


# --- names must not be taken for what happened -----------------------------------------------

HOSTILE_NAMES = [
    "certificate.pem",
    "AwsCredentialsTest.log",
    "CredentialProvider",
    "timeout.log",
    "connection refused",
    "dns error, resolve",
    "Tunnel connection failed: 407",
    "wrong version number",
    "status code: 403",
    "<Code>SlowDown</Code>",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_not_what_happened(server: Proxy, clients: Clients, name: str) -> None:
    requests = (clients.boto_get, clients.boto_put, clients.own_get, clients.own_put)
    key = f"executions/x/{name}"
    server.inject(ResetBefore(), times=None)
    for request in requests:
        error = failure(lambda request=request: request(key))  # type: ignore[misc]
        assert_unavailable(error, f"the connection to {host_of(server.endpoint_url)} broke")
    server.heal()
    server.inject(Answer(404, "NoSuchKey", name), times=None)
    for request in (*requests, clients.own_head):
        error = failure(lambda request=request: request(key))  # type: ignore[misc]
        assert type(error) is NotFoundError
        assert error.code in ("NoSuchKey", "", "404")


# --- no answer -------------------------------------------------------------------------------


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def assert_unavailable(
    error: object, words: str, *, retryable: bool = True, fatal: bool = False
) -> None:
    assert type(error) is UnavailableError
    assert error.message == f"read of {KEY}: {words}"
    assert (error.retryable, error.is_fatal) == (retryable, fatal)
    assert "same command" not in str(error.hint)
    assert error.code is None
    assert_tells_no_secret(error)


def test_a_refused_connection_is_unavailable(closed_port: int) -> None:
    with make_clients(f"http://127.0.0.1:{closed_port}") as clients:
        for request in clients.requests.values():
            words = f"connection refused by 127.0.0.1:{closed_port}"
            assert_unavailable(failure(request), words)


def test_no_answer_in_time_is_unavailable(silent_port: int) -> None:
    with make_clients(f"http://127.0.0.1:{silent_port}", timeout_seconds=0.05) as quick:
        for request in quick.requests.values():
            words = f"127.0.0.1:{silent_port} did not answer in time"
            assert_unavailable(failure(request), words)


def test_a_host_name_without_an_address_is_unavailable() -> None:
    with make_clients("http://nothing.invalid:9000") as clients:
        for request in clients.requests.values():
            words = "the host name of nothing.invalid:9000 cannot be resolved"
            assert_unavailable(failure(request), words)


@pytest.mark.parametrize(
    ("kind", "error_type", "fatal"),
    [
        (Kind.RESOLVE, UnavailableError, False),
        (Kind.REFUSED, UnavailableError, False),
        (Kind.UNREACHABLE, UnavailableError, False),
        (Kind.CONNECT_TIMEOUT, UnavailableError, False),
        (Kind.CERTIFICATE, UnavailableError, True),
        (Kind.CERTIFICATE_DATES, UnavailableError, True),
        (Kind.CERTIFICATE_HOST, UnavailableError, True),
        (Kind.CA_FILE, UsageError, True),
        (Kind.NOT_TLS, UnavailableError, True),
        (Kind.PROXY_AUTH, AccessError, True),
        (Kind.PROXY_REFUSED, UnavailableError, True),
        (Kind.STALLED, UnavailableError, False),
        (Kind.TOO_SLOW, UnavailableError, False),
        (Kind.BROKEN, UnavailableError, False),
        (Kind.TRUNCATED, UnavailableError, False),
        (Kind.MALFORMED, UnavailableError, False),
        (Kind.TOO_LARGE, UnavailableError, False),
    ],
)
@pytest.mark.parametrize("retryable", [True, False])
def test_the_kind_of_a_transport_error_decides(
    kind: Kind, error_type: type[OrchestratorError], fatal: bool, retryable: bool
) -> None:
    # The text is misleading: nothing may hang on it.
    text = "certificate refused, timed out; 407, unreachable"
    error = map_exception(TransportError(text, kind, is_retryable=retryable), "read of k")
    assert isinstance(error, OrchestratorError)
    assert type(error) is error_type
    assert (error.is_fatal, error.retryable) == (fatal, retryable)
    assert error.message == f"read of k: {text}"


def test_every_kind_that_hides_nothing_to_do_says_what_to_do() -> None:
    for kind in (Kind.REFUSED, Kind.CERTIFICATE, Kind.CA_FILE, Kind.NOT_TLS, Kind.PROXY_AUTH):
        error = map_exception(TransportError("t", kind), "read of k")
        assert isinstance(error, OrchestratorError)
        assert error.hint, kind


def test_a_request_that_cannot_be_sent_is_refused_without_its_secret() -> None:
    fault = InvalidRequestError("the header x-amz-meta-a has characters", "x-amz-meta-a")
    assert type(map_exception(fault, "read of k")) is UsageError
    for header in ("authorization", "x-amz-security-token"):
        error = map_exception(InvalidRequestError("secret", header), "read of k")
        assert type(error) is AccessError
        assert "secret" not in told(error)


# --- proxies and TLS, through boto3 ----------------------------------------------------------


def test_an_answer_of_a_proxy_that_asks_for_credentials_is_none_of_s3() -> None:
    error = error_from_s3(S3Error(407, "AccessDenied"), "read of k")
    assert type(error) is AccessError
    assert error.message == "read of k: the proxy asks for credentials"


def test_a_certificate_that_is_not_trusted_is_final(certificate: Certificate) -> None:
    with scripted(Peer.wait, tls=certificate) as server, make_clients(server.url) as clients:
        for name, request in clients.requests.items():
            error = failure(request)
            assert type(error) is UnavailableError, name
            assert (error.retryable, error.is_fatal) == (False, True), name
            assert (
                f"the TLS certificate of {host_of(server.url)} is not trusted" in error.message
            ), name
            assert "AWS_CA_BUNDLE" in str(error.hint), name


def test_a_handshake_that_breaks_off_can_pass() -> None:
    def hang_up(peer: Peer) -> None:
        peer.socket.recv(1)

    with scripted(hang_up) as server:
        url = server.url.replace("http:", "https:")
        with make_clients(url) as clients:
            for request in clients.requests.values():
                assert_unavailable(
                    failure(request), f"the connection to {host_of(server.url)} broke"
                )


def test_a_server_without_tls_is_said_to_have_none() -> None:
    def refuse(peer: Peer) -> None:
        peer.socket.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.wait()

    with scripted(refuse) as server:
        url = server.url.replace("http:", "https:")
        with make_clients(url) as clients:
            for request in clients.requests.values():
                error = failure(request)
                words = f"{host_of(server.url)} does not speak TLS 1.2 or later"
                assert_unavailable(error, words, fatal=True)
                assert "endpoint" in str(error.hint)


# --- credentials and configuration -----------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (botocore.NoCredentialsError(), False),
        (botocore.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), False),
        (botocore.UnauthorizedSSOTokenError(), False),
        (botocore.TokenRetrievalError(provider="sso", error_msg="expired"), False),
        (botocore.ProfileNotFound(profile="a\x1b[31m"), False),
        # What hands them out may be away for a moment.
        (botocore.CredentialRetrievalError(provider="process", error_msg="exit 1"), True),
        (botocore.MetadataRetrievalError(error_msg="http://169.254.170.2/?X-Amz-Date=1"), True),
    ],
)
def test_credentials_that_cannot_be_had_are_an_access_error(
    error: Exception, retryable: bool
) -> None:
    translated = map_exception(error, "credentials")
    assert isinstance(translated, AccessError)
    assert translated.retryable is retryable
    assert translated.hint
    assert_tells_no_secret(translated)


@pytest.mark.parametrize("operation", ["AssumeRole", "AssumeRoleWithWebIdentity"])
@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidIdentityToken"), (400, "ValidationError"), (404, "NoRole")]
)
def test_a_role_that_cannot_be_assumed_is_no_failure_of_s3(
    operation: str, status: int, code: str
) -> None:
    response: Any = {
        "Error": {"Code": code, "Message": "no such role\x1b"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "R"},
    }
    error = map_exception(botocore.ClientError(response, operation), "listing")
    assert type(error) is AccessError
    assert operation in error.message
    assert_tells_no_secret(error)


def test_a_role_service_that_is_busy_can_pass() -> None:
    response: Any = {
        "Error": {"Code": "Throttling"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    error = map_exception(botocore.ClientError(response, "AssumeRole"), "listing")
    assert isinstance(error, UnavailableError)
    assert error.retryable


@pytest.mark.parametrize(
    "error",
    [
        botocore.NoRegionError(),
        botocore.ParamValidationError(report='Invalid bucket name "a b\n\x1b"'),
        botocore.InvalidRegionError(region_name="x y"),
    ],
)
def test_settings_that_cannot_be_used_are_a_usage_error(error: Exception) -> None:
    translated = map_exception(error, "listing")
    assert isinstance(translated, UsageError)
    assert_tells_no_secret(translated)


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"Error": {}},
        {"Error": {"Code": "²"}},
        {"Error": {"Code": "503"}},
        {"Error": {"Code": 1}},
    ],
    ids=json.dumps,
)
def test_an_incomplete_answer_is_an_error_all_the_same(response: Any) -> None:
    error = map_exception(botocore.ClientError(response, "GetObject"), "read of k")
    assert isinstance(error, OrchestratorError)


# --- what is no failure of a request ---------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        KeyError("a defect"),
        FileNotFoundError(2, "No such file or directory", "local.log"),
        PermissionError(13, "Permission denied", "local.log"),
        UsageError("translated already"),
    ],
)
def test_other_exceptions_are_left_alone(error: Exception) -> None:
    assert map_exception(error, "read of k") is error


SERVERS_TIME = "Wed, 21 Oct 2065 07:28:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("Wed, 21 Oct 2065 07:28:08 GMT", 8),
        ("Wednesday, 21-Oct-65 07:28:08 GMT", 8),
        ("Mon, 01 Jan 1990 00:00:00 GMT", 0),
        ("", None),
        ("-5", None),
        ("99999999999999999999", None),
        ("Wed, 41 Oct 2065 07:28:00 GMT", None),
        ("soon", None),
        # The parser for dates overflows.
        ("Wed, 99999999999999999999 Oct 2065 07:28:00 GMT", None),
    ],
)
def test_a_server_says_in_seconds_or_by_a_date_when_it_wants_the_next_request(
    text: str, seconds: float | None
) -> None:
    headers = {"retry-after": text, "date": SERVERS_TIME}
    error = error_from_response(Response(503, headers, b"", 0.0), "read of k")
    assert error.is_throttled
    assert error.retry_after_seconds == seconds
