"""Failures of every HTTP client become the same exceptions, and none tells a secret."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import MaxRetryError, ProtocolError, ProxyError

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
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.framing import MalformedError, TransportError
from orchestrator_cli.core.http.pool import HttpPool, make_pool
from orchestrator_cli.core.s3.errors import S3Error, error_from_s3, map_exception, parse_error_body
from orchestrator_cli.core.s3.request import RestClient, SignedBody, error_from_response
from orchestrator_cli.core.s3.sigv4 import SigningKey
from tests.support.certificates import Certificate
from tests.support.faults import Answer, Answered, Fault, ResetBefore, TruncateAnswer, Waiting
from tests.support.proxy import Proxy, run_proxy
from tests.support.scripted import Peer, scripted

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
    rest: RestClient
    http: HttpPool

    def boto_get(self, key: str = KEY) -> object:
        return self.boto.get_object(Bucket="bucket", Key=key)

    def boto_put(self, key: str = KEY) -> object:
        return self.boto.put_object(Bucket="bucket", Key=key, Body=b"x", IfNoneMatch="*")

    def rest_get(self, key: str = KEY) -> object:
        return self.rest.send("GET", key, f"read of {KEY}")

    def rest_head(self, key: str = KEY) -> object:
        return self.rest.send("HEAD", key, f"read of {KEY}")

    def rest_list(self) -> object:
        return self.rest.ask("GET", "", f"read of {KEY}", "ListBucket", query={"list-type": "2"})

    def rest_create(self, key: str = KEY) -> object:
        return self._put(key, {"if-none-match": "*"})

    def rest_swap(self, key: str = KEY) -> object:
        return self._put(key, {"if-match": '"e"'})

    def _put(self, key: str, headers: dict[str, str]) -> object:
        body = SignedBody(b"x", 1, "0" * 64)
        return self.rest.send("PUT", key, f"read of {KEY}", headers=headers, payload=body)

    def part(self, key: str = KEY) -> object:
        """Send a part through a presigned URL."""
        url = f"{self.endpoint_url}/bucket/{key}?partNumber=1&X-Amz-Signature={SIGNATURE}"
        raise error_from_response(self.http.request("PUT", url, body=b"x"), f"read of {KEY}")

    @property
    def requests(self) -> dict[str, Request]:
        """Those whose answer has a body."""
        ours = ("rest_get", "rest_list", "rest_create", "rest_swap", "part")
        return {name: getattr(self, name) for name in ("boto_get", "boto_put", *ours)}


def make_clients(endpoint_url: str, timeout_seconds: float = 30) -> Clients:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        connect_timeout=timeout_seconds,
        read_timeout=timeout_seconds,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    http = make_pool(endpoint_url, stall_seconds=timeout_seconds)
    key = SigningKey("AKIDEXAMPLE", "SECRETEXAMPLE", None, "us-east-1")
    rest = RestClient(f"{endpoint_url}/bucket", http, lambda: key)
    return Clients(endpoint_url, make_boto(endpoint_url, config), rest, http)


def make_boto(endpoint_url: str, config: Config) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
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
def clients(server: Proxy) -> Clients:
    return make_clients(server.endpoint_url)


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
    (400, "ExpiredToken", AccessError, False),
    (400, "InvalidToken", AccessError, False),
    (400, "AuthorizationHeaderMalformed", UsageError, False),
    (400, "BadDigest", IntegrityError, True),
    (400, "XAmzContentChecksumMismatch", IntegrityError, True),
    (400, "IncompleteBody", IntegrityError, True),
    (400, "RequestTimeout", UnavailableError, True),
    (400, "InvalidRequest", OrchestratorError, False),
    (401, "Unauthorized", AccessError, False),
    (403, "AccessDenied", AccessError, False),
    (403, "InvalidAccessKeyId", AccessError, False),
    (403, "SignatureDoesNotMatch", AccessError, False),
    (403, "RequestTimeTooSkewed", AccessError, False),
    (403, "InvalidObjectState", ArchivedError, False),
    (404, "NoSuchKey", NotFoundError, False),
    (404, "NoSuchBucket", NotFoundError, False),
    (404, "NoSuchUpload", NotFoundError, False),
    (405, "MethodNotAllowed", OrchestratorError, False),
    (408, "RequestTimeout", UnavailableError, True),
    (409, "ConditionalRequestConflict", ConflictError, True),
    (409, "OperationAborted", ConflictError, True),
    (412, "PreconditionFailed", ConflictError, False),
    (416, "InvalidRange", OrchestratorError, False),
    (429, "TooManyRequests", UnavailableError, True),
    (500, "InternalError", UnavailableError, True),
    (501, "NotImplemented", OrchestratorError, False),
    (502, "BadGateway", UnavailableError, True),
    (503, "SlowDown", UnavailableError, True),
    (504, "GatewayTimeout", UnavailableError, True),
    (507, "InsufficientStorage", UnavailableError, True),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), ANSWERS)
def test_an_answer_means_the_same_whoever_got_it(
    server: Proxy,
    clients: Clients,
    status: int,
    code: str,
    kind: type[OrchestratorError],
    retryable: bool,
) -> None:
    message = f"See https://s3.example.com/?X-Amz-Signature={SIGNATURE} now"
    server.inject(Answer(status, code, message), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        assert type(error) is kind, name
        assert (error.code, error.retryable) == (code, retryable), name
        assert error.request_id == "FAULT0000000001", name
        assert KEY in error.message, name
        assert_tells_no_secret(error)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        # What AWS answers to HEAD with an expired token: without a body there is no code.
        (400, AccessError, False),
        (403, AccessError, False),
        (404, NotFoundError, False),
        (405, OrchestratorError, False),
        (409, ConflictError, True),
        (412, ConflictError, False),
        (429, UnavailableError, True),
        (500, UnavailableError, True),
        (501, OrchestratorError, False),
        (503, UnavailableError, True),
    ],
)
def test_an_answer_without_a_body_is_understood_by_its_status(
    server: Proxy, clients: Clients, status: int, kind: type[OrchestratorError], retryable: bool
) -> None:
    server.inject(Body(status), times=None)
    head: dict[str, Request] = {
        "boto_head": lambda: clients.boto.head_object(Bucket="bucket", Key=KEY),
        "rest_head": clients.rest_head,
    }
    for name, request in (clients.requests | head).items():
        error = failure(request)
        assert (type(error), error.retryable) == (kind, retryable), name


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_the_wrong_region(server: Proxy, clients: Clients, status: int) -> None:
    # AWS answers it without the Location that a client could follow.
    region = {"x-amz-bucket-region": "eu-west-1"}
    code = "PermanentRedirect" if status == 301 else "TemporaryRedirect"
    server.inject(Answer(status, code, headers=region), times=None)
    for name, request in clients.requests.items():
        error = failure(request)
        assert type(error) is UsageError, name
        assert "AWS_REGION" in str(error.hint)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "have expired"),
        ("ExpiredTokenException", "have expired"),
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "secret key does not belong"),
        ("RequestTimeTooSkewed", "clock is wrong"),
        ("AccessDenied", "access denied"),
    ],
)
def test_why_access_is_denied_is_said(code: str, words: str) -> None:
    error = error_from_s3(S3Error(403, code), "read of k")
    assert words in error.message
    assert error.hint


def test_html_is_no_answer_of_s3(server: Proxy, clients: Clients) -> None:
    server.inject(Body(500, b"<html><title>Oops</title>"), times=None)
    for name, request in clients.requests.items():
        assert type(failure(request)) is UnavailableError, name
    server.heal()
    # As a network that asks for a login answers to anything.
    server.inject(Body(200, b"<html><body>Log in <a href='http://x/?X-Amz-a'>here"), times=None)
    listings: list[Request] = [
        lambda: clients.boto.list_objects_v2(Bucket="bucket"),
        clients.rest_list,
    ]
    for request in listings:
        error = failure(request)
        assert (type(error), error.retryable) == (UnavailableError, True)
        assert_tells_no_secret(error)


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("InternalError", UnavailableError, True),
        ("SlowDown", UnavailableError, True),
        ("PreconditionFailed", ConflictError, False),
        ("NoSuchUpload", NotFoundError, False),
        ("AccessDenied", AccessError, False),
    ],
)
def test_an_error_may_come_after_a_200(
    server: Proxy, clients: Clients, code: str, kind: type[OrchestratorError], retryable: bool
) -> None:
    server.inject(Answer(200, code), times=None)
    error = failure(clients.rest_list)
    assert (type(error), error.code, error.retryable) == (kind, code, retryable)
    assert error.request_id == "FAULT0000000001"


def test_another_document_than_was_asked_for_is_not_of_s3(server: Proxy, clients: Clients) -> None:
    for body in (b"<Other/>", b"", b"<ListBucketResult", b'{"message": "not found"}'):
        server.inject(Body(200, body))
        assert_unavailable(failure(clients.rest_list), "what answered is not S3")


def test_an_answer_that_cannot_be_parsed_is_no_matter_of_credentials() -> None:
    unparsable = ResponseParserError("invalid XML received: b'<a href=http://x/?X-Amz-a'")
    error = map_exception(unparsable, "listing of bucket")
    assert isinstance(error, UnavailableError)
    assert error.message == "listing of bucket: what answered is not S3"
    assert error.retryable
    assert_tells_no_secret(error)


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
    st.text(max_size=20) | st.sampled_from([code for _, code, *_ in ANSWERS]),
    st.text(max_size=20) | st.just(f"a https://x/?X-Amz-Signature={SIGNATURE}&X-Amz-Expires=1 b"),
    st.none() | st.text(max_size=20),
)
def test_no_answer_can_act_on_a_terminal_or_tell_a_secret(
    status: int, code: str, message: str, request_id: str | None
) -> None:
    error = error_from_s3(S3Error(status, code, message, request_id), "read of k")
    assert error.message.startswith("read of k: ")
    assert_tells_no_secret(error)


@given(st.text(max_size=60) | st.text("<>/Code RequstId", max_size=60))
def test_no_body_is_worse_than_an_unknown_error(body: str) -> None:
    answer = parse_error_body(418, body)
    assert isinstance(error_from_s3(answer, "read of k"), OrchestratorError)


# --- names must not be taken for what happened -----------------------------------------------

HOSTILE_NAMES = [
    "certificate.pem",
    "AwsCredentialsTest.log",
    "CredentialProvider",
    "timeout.log",
    "connection refused",
    "dns error, resolve",
    "status: 412,",
    "status code: 403",
    "Server returned non-2xx status code: 403",
    "<Code>SlowDown</Code>",
    "BareRedirect",
    'quoted", inner: BareRedirect',
    "Debug source:",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_not_what_happened(server: Proxy, clients: Clients, name: str) -> None:
    requests: list[Callable[[str], object]] = [
        clients.boto_get,
        clients.rest_get,
        clients.rest_head,
        clients.rest_create,
        clients.rest_swap,
    ]
    key = f"executions/x/{name}"
    server.inject(ResetBefore(), times=None)
    for request in requests:
        error = failure(lambda request=request: request(key), "read of k")  # type: ignore[misc]
        assert (type(error), error.retryable) == (UnavailableError, True)
        assert error.message == "read of k: the connection broke"
    server.heal()
    server.inject(Answer(404, "NoSuchKey"), times=None)
    for request in requests:
        error = failure(lambda request=request: request(key), "read of k")  # type: ignore[misc]
        assert type(error) is NotFoundError
        assert error.code in ("NoSuchKey", "", "404")


def test_a_url_is_not_what_happened() -> None:
    url = f"/bucket/certificate.pem?timeout&refused&X-Amz-Signature={SIGNATURE}"
    with urllib3.HTTPConnectionPool("s3.example.test") as pool:
        error = MaxRetryError(pool, url, ProtocolError("Connection aborted."))
    assert_unavailable(map_exception(error, f"read of {KEY}"), "the connection broke")


# --- no answer -------------------------------------------------------------------------------


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def assert_unavailable(error: object, words: str, retryable: bool = True) -> None:
    assert type(error) is UnavailableError
    assert error.message == f"read of {KEY}: {words}"
    assert error.retryable is retryable
    assert error.hint
    assert error.code is None
    assert_tells_no_secret(error)


def test_a_refused_connection(closed_port: int) -> None:
    for request in make_clients(f"http://127.0.0.1:{closed_port}").requests.values():
        assert_unavailable(failure(request), "connection refused")


def test_no_answer_in_time(silent_port: int) -> None:
    quick = make_clients(f"http://127.0.0.1:{silent_port}", timeout_seconds=0.05)
    for request in quick.requests.values():
        assert_unavailable(failure(request), "no answer in time")


def test_a_connection_that_breaks(server: Proxy, clients: Clients) -> None:
    server.inject(ResetBefore(), times=None)
    for request in clients.requests.values():
        assert_unavailable(failure(request), "the connection broke")


def test_an_answer_that_breaks_off(s3: S3Client, bucket: str, s3env: dict[str, str]) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=bytes(1000))
    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as proxy:
        proxy.inject(TruncateAnswer(500), times=None)
        http = make_pool(proxy.endpoint_url)
        key = SigningKey("sandbox", "sandbox", None, "us-east-1")
        rest = RestClient(f"{proxy.endpoint_url}/{bucket}", http, lambda: key)
        error = failure(lambda: rest.send("GET", KEY, f"read of {KEY}"))
    assert_unavailable(error, "the connection broke")


def test_what_is_no_answer_of_http() -> None:
    def other(peer: Peer) -> None:
        peer.request()
        peer.send(b"220 mail.example.com ESMTP\r\n\r\n")

    with scripted(other) as answering:
        clients = make_clients(answering.url)
        for request in (clients.rest_get, clients.rest_create, clients.part):
            error = failure(request)
            assert_unavailable(error, "what answered does not speak HTTP/1.1")
            assert "endpoint" in error.hint


def test_what_is_wrong_with_an_answer_is_said() -> None:
    error = map_exception(MalformedError("the answer's head is malformed"), f"read of {KEY}")
    assert_unavailable(error, "the answer's head is malformed")


def test_a_host_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for request in make_clients("http://s3.example.test:9000").requests.values():
        assert_unavailable(failure(request), "the host name cannot be resolved")


@pytest.mark.parametrize("code", ["ENETUNREACH", "EHOSTUNREACH", "EHOSTDOWN"])
def test_a_host_that_is_out_of_reach(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    number = getattr(errno, code)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: number)
    clients = make_clients("http://127.0.0.1:9")
    for request in (clients.rest_get, clients.rest_create, clients.part):
        assert_unavailable(failure(request), "the host cannot be reached")


# --- proxies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "words", "retryable"),
    [
        (407, AccessError, "the proxy asks for credentials", False),
        (403, UnavailableError, "the proxy answered 403", False),
        (502, UnavailableError, "the proxy answered 502", True),
    ],
)
def test_a_proxy_that_opens_no_way(
    status: int, kind: type[OrchestratorError], words: str, retryable: bool
) -> None:
    tunnel = OSError(f"Tunnel connection failed: {status} See http://user:hunter2@proxy")
    error = map_exception(ProxyError("Unable to connect to proxy", tunnel), f"read of {KEY}")
    assert isinstance(error, kind)
    assert (error.message, error.retryable) == (f"read of {KEY}: {words}", retryable)
    assert "HTTPS_PROXY" in str(error.hint)
    assert_tells_no_secret(error)


def test_an_answer_of_a_proxy_that_asks_for_credentials_is_none_of_s3() -> None:
    error = error_from_s3(S3Error(407, ""), "read of k")
    assert type(error) is AccessError
    assert error.message == "read of k: the proxy asks for credentials"


def test_a_proxy_that_is_not_there(closed_port: int) -> None:
    behind = Config(
        proxies={"http": f"http://user:hunter2@127.0.0.1:{closed_port}"},
        retries={"total_max_attempts": 1},
    )
    boto = make_boto("http://s3.example.test", behind)
    assert_unavailable(failure(lambda: boto.get_object(Bucket="b", Key="k")), "connection refused")


# --- TLS -------------------------------------------------------------------------------------


def test_a_certificate_that_is_not_trusted_is_final(certificate: Certificate) -> None:
    words = "the server's TLS certificate is not trusted"
    with scripted(Peer.wait, tls=certificate) as server:
        for request in make_clients(server.url).requests.values():
            error = failure(request)
            assert_unavailable(error, words, retryable=False)
            assert "AWS_CA_BUNDLE" in error.hint


def test_a_certificate_of_another_host_is_not_trusted(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(Peer.wait, tls=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        http = make_pool(f"https://other.example.test:{port}", str(certificate.file))
        error = failure(lambda: http.request("GET", f"https://other.example.test:{port}/b/k"))
    assert_unavailable(error, "the server's TLS certificate is not trusted", retryable=False)


def test_a_handshake_that_breaks_off_can_pass() -> None:
    def hang_up(peer: Peer) -> None:
        peer.socket.recv(1)

    with scripted(hang_up) as server:
        url = server.url.replace("http:", "https:")
        for request in make_clients(url).requests.values():
            assert_unavailable(failure(request), "the connection broke")


def test_a_server_without_tls_is_said_to_have_none() -> None:
    def refuse(peer: Peer) -> None:
        peer.socket.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.wait()

    with scripted(refuse) as server:
        url = server.url.replace("http:", "https:")
        for request in make_clients(url).requests.values():
            error = failure(request)
            assert_unavailable(error, "the server does not speak TLS")
            assert "endpoint" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
        "[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1032)",
        "[SSL: PACKET_LENGTH_TOO_LONG] packet length too long (_ssl.c:1006)",
        "[SSL: HTTP_REQUEST] http request (_ssl.c:1006)",
    ],
)
def test_every_openssl_says_it_in_its_own_words(text: str) -> None:
    for error in (TransportError(text), urllib3.exceptions.SSLError(ssl.SSLError(1, text))):
        assert_unavailable(map_exception(error, f"read of {KEY}"), "the server does not speak TLS")


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
def test_no_usable_credentials(error: Exception, retryable: bool) -> None:
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


def test_credentials_that_cannot_be_had_are_no_failure_of_the_request(clients: Clients) -> None:
    def provide() -> SigningKey:
        raise AccessError("no AWS credentials found")

    rest = RestClient(f"{clients.endpoint_url}/bucket", clients.http, provide)
    error = failure(lambda: rest.send("GET", KEY, "read of k"))
    assert type(error) is AccessError
    assert error.message == "no AWS credentials found"


@pytest.mark.parametrize(
    "error",
    [
        botocore.NoRegionError(),
        botocore.ParamValidationError(report='Invalid bucket name "a b\n\x1b"'),
        botocore.InvalidRegionError(region_name="x y"),
    ],
)
def test_settings_that_cannot_be_used(error: Exception) -> None:
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
