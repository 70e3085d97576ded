"""Failures of three HTTP clients become the same exceptions, and none tells a secret."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import obstore
import pytest
import urllib3
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError
from obstore.store import S3Store
from urllib3.exceptions import MaxRetryError, ProtocolError

from orchestrator_cli.core.errors import (
    AccessError,
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
    printable,
)
from orchestrator_cli.core.s3errors import S3Answer, from_answer, parse_error_body, translate
from tests.support.certificates import make_certificate
from tests.support.faults import Answer, Answered, Fault, ResetBefore, TruncateAnswer, Waiting
from tests.support.proxy import Proxy, run_proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "executions/01JABCDEFGHJKMNPQRSTVWXYZ0/logs/stdout.log"
SIGNATURE = "0123456789abcdef"

Request = Callable[[], object]


# --- the three clients, as the library makes them --------------------------------------------


@dataclass(frozen=True)
class Clients:
    """The clients of one endpoint; each request fails."""

    endpoint_url: str
    boto: S3Client
    objects: S3Store
    http: urllib3.PoolManager

    def boto_get(self, key: str = KEY) -> object:
        return self.boto.get_object(Bucket="bucket", Key=key)

    def boto_put(self, key: str = KEY) -> object:
        return self.boto.put_object(Bucket="bucket", Key=key, Body=b"x", IfNoneMatch="*")

    def objects_get(self, key: str = KEY) -> object:
        return obstore.get(self.objects, key).bytes()

    def objects_head(self, key: str = KEY) -> object:
        return obstore.get(self.objects, key, options={"head": True})

    def objects_create(self, key: str = KEY) -> object:
        return obstore.put(self.objects, key, b"x", mode="create", use_multipart=False)

    def objects_swap(self, key: str = KEY) -> object:
        return obstore.put(self.objects, key, b"x", mode={"e_tag": '"e"'}, use_multipart=False)

    def part(self, key: str = KEY) -> object:
        """Send a part through a presigned URL."""
        url = f"{self.endpoint_url}/bucket/{key}?partNumber=1&X-Amz-Signature={SIGNATURE}"
        answer = self.http.request("PUT", url, body=b"x")
        raise from_answer(parse_error_body(answer.status, answer.data.decode()), f"write of {key}")

    @property
    def requests(self) -> dict[str, Request]:
        """Those whose answer has a body."""
        names = ("boto_get", "boto_put", "objects_get", "objects_create", "objects_swap", "part")
        return {name: getattr(self, name) for name in names}


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
    objects = S3Store(
        "bucket",
        endpoint=endpoint_url,
        region="us-east-1",
        access_key_id="AKIDEXAMPLE",
        secret_access_key="SECRETEXAMPLE",
        client_options={
            "allow_http": endpoint_url.startswith("http://"),
            "timeout": f"{int(timeout_seconds * 1000)}ms",
        },
        retry_config={"max_retries": 0},
    )
    http = urllib3.PoolManager(retries=False, timeout=timeout_seconds)
    return Clients(endpoint_url, make_boto(endpoint_url, config), objects, http)


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
    return translate(raised.value, what)


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
        "objects_head": clients.objects_head,
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
    error = from_answer(S3Answer(403, code), "read of k")
    assert words in error.message
    assert error.hint


def test_html_is_no_answer_of_s3(server: Proxy, clients: Clients) -> None:
    server.inject(Body(500, b"<html><title>Oops</title>"), times=None)
    for name, request in clients.requests.items():
        assert type(failure(request)) is UnavailableError, name
    server.heal()
    # As a network that asks for a login answers to anything.
    server.inject(Body(200, b"<html><body>Log in <a href='http://x/?X-Amz-a'>here"), times=None)
    error = failure(lambda: clients.boto.list_objects_v2(Bucket="bucket"), "listing of bucket")
    assert (type(error), error.retryable) == (UnavailableError, True)
    assert_tells_no_secret(error)


def test_an_answer_that_cannot_be_parsed_is_no_matter_of_credentials() -> None:
    unparsable = ResponseParserError("invalid XML received: b'<a href=http://x/?X-Amz-a'")
    error = translate(unparsable, "listing of bucket")
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
    error = from_answer(S3Answer(status, ""), "read of k")
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
    error = from_answer(S3Answer(status, code, message, request_id), "read of k")
    assert error.message.startswith("read of k: ")
    assert_tells_no_secret(error)


@given(st.text(max_size=60) | st.text("<>/Code RequstId", max_size=60))
def test_no_body_is_worse_than_an_unknown_error(body: str) -> None:
    answer = parse_error_body(418, body)
    assert isinstance(from_answer(answer, "read of k"), OrchestratorError)


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
        clients.objects_get,
        clients.objects_head,
        clients.objects_create,
        clients.objects_swap,
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
        assert error.code in ("NoSuchKey", "")


def test_a_url_is_not_what_happened() -> None:
    url = f"/bucket/certificate.pem?timeout&refused&X-Amz-Signature={SIGNATURE}"
    with urllib3.HTTPConnectionPool("s3.example.test") as pool:
        error = MaxRetryError(pool, url, ProtocolError("Connection aborted."))
    assert_unavailable(translate(error, f"read of {KEY}"), "the connection broke")


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


def test_an_answer_that_breaks_off(sandbox_object: Clients) -> None:
    assert_unavailable(failure(sandbox_object.objects_get), "the connection broke")


@pytest.fixture
def sandbox_object(s3: S3Client, bucket: str, s3env: dict[str, str]) -> Iterator[Clients]:
    """Clients of a real server that has the object and cuts its content short."""
    s3.put_object(Bucket=bucket, Key=KEY, Body=bytes(1000))
    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as proxy:
        proxy.inject(TruncateAnswer(500), times=None)
        made = make_clients(proxy.endpoint_url)
        store = S3Store(
            bucket,
            endpoint=proxy.endpoint_url,
            region="us-east-1",
            access_key_id=s3env["AWS_ACCESS_KEY_ID"],
            secret_access_key=s3env["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        yield Clients(proxy.endpoint_url, made.boto, store, made.http)


def test_a_host_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    lost = make_clients("http://s3.example.test:9000")
    for request in (lost.boto_get, lost.part):
        assert_unavailable(failure(request), "the host name cannot be resolved")
    # obstore does not resolve by Python; this is what it says.
    text = (
        "Generic S3 error: Error performing GET http://s3.example.test:9000/bucket/k in 2.5ms - "
        'HTTP error: error sending request\n\nDebug source:\nGeneric {\n    store: "S3",\n'
        "    source: RetryError(\n        RetryErrorImpl {\n            method: GET,\n"
        "            uri: Some(\n                http://s3.example.test:9000/bucket/k,\n"
        "            ),\n            retries: 0,\n            max_retries: 0,\n"
        "            retry_timeout: 180s,\n            inner: Http(\n                HttpError {\n"
        "                    kind: Connect,\n                    source: ConnectError(\n"
        '                        "dns error",\n                    ),\n                },\n'
        "            ),\n        },\n    ),\n}"
    )
    error = translate(GenericError(text), f"read of {KEY}")
    assert_unavailable(error, "the host name cannot be resolved")


def test_a_proxy_that_is_not_there(closed_port: int) -> None:
    behind = Config(
        proxies={"http": f"http://user:hunter2@127.0.0.1:{closed_port}"},
        retries={"total_max_attempts": 1},
    )
    boto = make_boto("http://s3.example.test", behind)
    assert_unavailable(failure(lambda: boto.get_object(Bucket="b", Key="k")), "connection refused")


# --- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody trusts, with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@contextlib.contextmanager
def accepting(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a TLS endpoint that treats every connection the same way."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    handle(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_certificate_that_is_not_trusted_is_final(own_certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)

    def shake_hands(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    words = "the server's TLS certificate is not trusted"
    with accepting(shake_hands) as endpoint_url:
        for request in make_clients(endpoint_url).requests.values():
            error = failure(request)
            assert_unavailable(error, words, retryable=False)
            assert "AWS_CA_BUNDLE" in error.hint


def test_a_handshake_that_breaks_off_can_pass() -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(1)

    with accepting(hang_up) as endpoint_url:
        for request in make_clients(endpoint_url).requests.values():
            assert_unavailable(failure(request), "the connection broke")


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
    translated = translate(error, "credentials")
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
    error = translate(botocore.ClientError(response, operation), "listing")
    assert type(error) is AccessError
    assert operation in error.message
    assert_tells_no_secret(error)


def test_a_role_service_that_is_busy_can_pass() -> None:
    response: Any = {
        "Error": {"Code": "Throttling"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    error = translate(botocore.ClientError(response, "AssumeRole"), "listing")
    assert isinstance(error, UnavailableError)
    assert error.retryable


def test_credentials_that_obstore_cannot_get() -> None:
    def provide() -> Any:
        raise AccessError("no AWS credentials found")

    store = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:9",
        region="us-east-1",
        credential_provider=provide,
        client_options={"allow_http": True},
    )
    error = failure(lambda: obstore.get(store, KEY))
    assert type(error) is AccessError
    assert error.hint


@pytest.mark.parametrize(
    "error",
    [
        botocore.NoRegionError(),
        botocore.ParamValidationError(report='Invalid bucket name "a b\n\x1b"'),
        botocore.InvalidRegionError(region_name="x y"),
    ],
)
def test_settings_that_cannot_be_used(error: Exception) -> None:
    translated = translate(error, "listing")
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
    error = translate(botocore.ClientError(response, "GetObject"), "read of k")
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
    assert translate(error, "read of k") is error
