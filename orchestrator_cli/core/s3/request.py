"""S3's REST API, signed and sent here: at a twentieth of boto3's CPU a request.

One request each; sending again is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.http.pool import HttpPool
from orchestrator_cli.core.http.request_body import Body
from orchestrator_cli.core.http.wire import Answer
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.errors import error_from_s3, parse_error_body
from orchestrator_cli.core.s3.sigv4 import SigningKey, encode_key, encode_query, sign_headers

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Of errors that come after a 200, those that sending again does not change.
_STATUSES = {"PreconditionFailed": 412, "NoSuchUpload": 404, "AccessDenied": 403}


@dataclass(frozen=True, slots=True)
class SignedBody:
    """A request body with its size in bytes and its SHA-256 in hex, by which it is signed."""

    body: Body
    size_bytes: int
    sha256: str


NOTHING = SignedBody(b"", 0, sha256(b"").hex())


@dataclass(frozen=True, slots=True)
class S3Response:
    """A successful answer. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray | memoryview

    def header(self, name: str, default: str = "") -> str:
        """Return a header by its name in lower case, or the default where there is none."""
        return self.headers.get(name, default)


class RestClient:
    """Sends signed requests about one bucket. Safe to share between threads."""

    def __init__(
        self, bucket_url: str, http: HttpPool, signing_key: Callable[[], SigningKey]
    ) -> None:
        """Take the bucket's URL without a slash at its end."""
        self._bucket_url = bucket_url
        self._http = http
        self._signing_key = signing_key

    def send(
        self,
        method: str,
        key: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        payload: SignedBody = NOTHING,
        into: bytearray | None = None,
    ) -> S3Response:
        """Send one request and return its answer; an empty key is the bucket itself.

        Its body may be a view of the buffer `into`, where it fits there.
        The names of headers are in lower case. `what` names the request in errors, which are the
        library's for an answer of S3 and the pool's for a connection that fails.
        """
        url = f"{self._bucket_url}/{encode_key(key)}" if key else self._bucket_url
        if query:
            url += f"?{encode_query(query)}"
        now = datetime.now(UTC)
        signed = sign_headers(self._signing_key(), method, url, now, headers or {}, payload.sha256)
        signed["content-length"] = str(payload.size_bytes)
        answer = self._http.request(method, url, headers=signed, body=payload.body, into=into)
        if answer.status >= 300:
            raise error_from_response(answer, what)
        return S3Response(answer.status, answer.headers, answer.data)

    def ask(self, method: str, key: str, what: str, root: str, **request: Any) -> XmlElement:
        """Send one request whose answer is a document, and return its root element.

        `root` is how its name begins: servers differ in whether it ends in Result or Response.
        S3 may begin to answer 200 before it knows that it fails: an error in its place is raised.
        """
        answer = self.send(method, key, what, **request)
        return parse_document(answer, what, root)


def error_from_response(answer: Answer, what: str) -> OrchestratorError:
    """Return the exception for an answer that is an error."""
    told = parse_error_body(answer.status, bytes(answer.data).decode("utf-8", "replace"))
    # What stands between, such as a load balancer, answers something else than XML.
    request_id = told.request_id or answer.headers.get("x-amz-request-id")
    return error_from_s3(replace(told, request_id=request_id), what)


class XmlElement:
    """An element of an answer, whose namespace some servers leave out."""

    __slots__ = ("_element", "_namespace")

    def __init__(self, element: Element, namespace: str) -> None:
        self._element = element
        self._namespace = namespace

    def text(self, name: str, default: str = "") -> str:
        """Return the text of a child, or the default where there is no such child."""
        return self._element.findtext(self._namespace + name, default)

    def texts(self) -> dict[str, str]:
        """Return the texts of all children by name, in a quarter of the time that each takes."""
        skipped = len(self._namespace)
        return {child.tag[skipped:]: child.text or "" for child in self._element}

    def children(self, name: str) -> Iterator[XmlElement]:
        """Yield the children of a name."""
        for child in self._element.findall(self._namespace + name):
            yield XmlElement(child, self._namespace)

    def child(self, name: str) -> XmlElement | None:
        """Return the first child of a name."""
        found = self._element.find(self._namespace + name)
        return None if found is None else XmlElement(found, self._namespace)

    def flag(self, name: str) -> bool:
        """Say whether a child says true."""
        return self.text(name).strip().lower() == "true"


def parse_document(answer: S3Response, what: str, root: str) -> XmlElement:
    """Parse an XML answer whose root's name begins so. Raises what an error in its place says."""
    from xml.etree import ElementTree as ET

    try:
        # S3's answers are trusted as far as TLS goes; expat refuses entities that explode.
        element = ET.fromstring(answer.body)  # noqa: S314
    except ET.ParseError as error:
        raise unexpected_response(what) from error
    namespace, brace, name = element.tag.rpartition("}")
    if name == "Error":
        told = parse_error_body(500, bytes(answer.body).decode("utf-8", "replace"))
        raise error_from_s3(replace(told, status=_STATUSES.get(told.code, 500)), what)
    if not name.startswith(root):
        raise unexpected_response(what)
    return XmlElement(element, namespace + brace)


def require_etag(answer: S3Response, what: str) -> str:
    """Return the ETag of what was stored, without quotes. Raises UnavailableError where none came.

    Every S3 sends one. What answers 200 to anything, such as a network's login page, does not.
    """
    etag = answer.header("etag").strip('"')
    if not etag:
        raise unexpected_response(what)
    return etag


def unexpected_response(what: str) -> UnavailableError:
    """Return the error for an answer that no S3 gives."""
    hint = "check the endpoint, and whether the network asks for a login"
    return UnavailableError(f"{what}: what answered is not S3", hint=hint, retryable=True)
