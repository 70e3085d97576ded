"""What S3 servers other than AWS leave out or do in their own way, put before one that does not.

Each quirk was seen on a real server. `CEPH`, `CEPH_VERSIONED` and `RCLONE` are Ceph's gateway
(release 16), the same with a versioned bucket, and `rclone serve s3`, as far as a client can tell.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tests.support.proxy.faults import Answered, Fault, Waiting
from tests.support.proxy.operations import Request
from tests.support.proxy.proxy import Proxy

if TYPE_CHECKING:
    from tests.support.proxy.connection import Connection

_WHOLE_MULTIPART_ETAG = re.compile(r'"[0-9a-f]{32}-\d+"')
_PRECONDITION_FAILED = (
    b"<Error><Code>PreconditionFailed</Code><Message></Message><RequestId>tx1</RequestId></Error>"
)


@dataclass
class Reply:
    """The server's answer, to be changed before the client gets it. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Quirk:
    """A server's peculiarity; each real one overrides the moments it shows."""

    def request(self, request: Request, connection: Connection) -> None:
        """Change the request's head, or raise `Answered`."""

    def request_end(self, request: Request, connection: Connection) -> None:
        """Raise `Answered` once the body is known."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        """Change the answer."""


class Server(Fault):
    """A server with all of these quirks."""

    def __init__(self, *quirks: Quirk) -> None:
        self._quirks = quirks

    def request_head(self, waiting: Waiting) -> None:
        self._each(waiting, lambda quirk: quirk.request)

    def request_end(self, waiting: Waiting) -> None:
        self._each(waiting, lambda quirk: quirk.request_end)

    def _each(
        self,
        waiting: Waiting,
        moment: Callable[[Quirk], Callable[[Request, Connection], None]],
    ) -> None:
        connection = cast("Connection", waiting)
        for quirk in self._quirks:
            moment(quirk)(connection.exchange.request, connection)

    def response_head(self, status: int, waiting: Waiting) -> None:
        connection = cast("Connection", waiting)
        request = connection.exchange.request
        response = connection.response
        headers = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(status, headers, response.read())
        for quirk in self._quirks:
            quirk.reply(request, reply, connection)
        # Of an answer to HEAD it is the length of what GET would give.
        length = headers.pop("content-length", "0") if request.method == "HEAD" else None
        headers.pop("content-length", None)
        headers.pop("transfer-encoding", None)
        headers.pop("connection", None)
        exact = {"Content-Length": length} if length is not None else {}
        raise Answered(reply.status, reply.body, headers | exact)


# --- conditions --------------------------------------------------------------------------


@dataclass
class IgnoresCondition(Quirk):
    """The header is not heeded in these operations."""

    header: str
    operations: tuple[str, ...]

    def request(self, request: Request, connection: Connection) -> None:
        if request.operation in self.operations:
            del connection.headers[self.header]


class ComparesBareEtags(Quirk):
    """`If-Match` holds only without the quotes that every other header has."""

    def request(self, request: Request, connection: Connection) -> None:
        etag = connection.headers["If-Match"]
        if request.operation != "PutObject" or etag is None:
            return
        if etag.startswith('"'):
            raise Answered(412, _PRECONDITION_FAILED, {})
        connection.headers.replace_header("If-Match", f'"{etag}"')


class RefusesIfMatch(Quirk):
    """`If-Match` never holds: it is compared with a version that is not there yet."""

    def request(self, request: Request, connection: Connection) -> None:
        if request.operation == "PutObject" and connection.headers["If-Match"] is not None:
            raise Answered(412, _PRECONDITION_FAILED, {})


# --- checksums and ETags -----------------------------------------------------------------


class KeepsNoChecksums(Quirk):
    """SHA-256 is neither verified nor kept."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        for name in list(reply.headers):
            if name.startswith("x-amz-checksum-"):
                del reply.headers[name]


class CompletesWithoutEtag(Quirk):
    """The ETag in the answer to CompleteMultipartUpload is empty."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "CompleteMultipartUpload":
            reply.body = re.sub(rb"<ETag>[^<]*</ETag>", b"<ETag></ETag>", reply.body)


class GivesMd5OfTheWhole(Quirk):
    """A multipart object's ETag is the plain MD5 of its bytes."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if _WHOLE_MULTIPART_ETAG.fullmatch(reply.headers.get("etag", "")) and request.key:
            whole = ask(connection, request.path)
            digest = hashlib.md5(whole, usedforsecurity=False).hexdigest()
            reply.headers["etag"] = f'"{digest}"'


# --- parts -------------------------------------------------------------------------------


class WantsAllParts(Quirk):
    """An upload is completed with all of its parts or not at all."""

    def request_end(self, request: Request, connection: Connection) -> None:
        if request.operation != "CompleteMultipartUpload":
            return
        named = re.findall(rb"<PartNumber>(\d+)</PartNumber>", connection.exchange.request_body)
        if set(stored_parts(connection)) - set(named):
            raise Answered(400, b"<Error><Code>InvalidPart</Code><Message></Message></Error>", {})


class KeepsPartsAsTheyAre(Quirk):
    """A part is not replaced by one of other content."""

    def request_end(self, request: Request, connection: Connection) -> None:
        if request.operation != "UploadPart":
            return
        number = str(request.part_number).encode()
        sent = base64.b64decode(request.headers.get("content-md5", "")).hex().encode()
        if stored_parts(connection).get(number, sent) != sent:
            raise Answered(501, b"<Error><Code>NotImplemented</Code></Error>", {})


class SaysNoSuchUpload(Quirk):
    """A list of unfinished uploads that would be empty is an error."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "ListMultipartUploads" and b"<Upload>" not in reply.body:
            reply.status = 404
            reply.body = b"<Error><Code>NoSuchUpload</Code><Message>NoSuchUpload</Message></Error>"


class SaysNoSuchKey(Quirk):
    """ListParts of an upload that ended says that there is no such key."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "ListParts":
            reply.body = reply.body.replace(b"NoSuchUpload", b"NoSuchKey")


# --- answers -----------------------------------------------------------------------------


class SendsRangesWith200(Quirk):
    """A range comes with status 200."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if reply.status == 206:
            reply.status = 200


class TitleCasesMetadata(Quirk):
    """User metadata keys come back in other case, as HTTP allows."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        for name in list(reply.headers):
            if name.startswith("x-amz-meta-"):
                reply.headers[name.title()] = reply.headers.pop(name)


class SaysNoMore(Quirk):
    """Errors have a code and no message."""

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if reply.status >= 400:
            reply.body = re.sub(rb"<Message>.*?</Message>", b"<Message></Message>", reply.body)


class ServesArchived(Quirk):
    """Storage classes are names: what is in an archive class is read at once, never restored."""

    def request(self, request: Request, connection: Connection) -> None:
        if request.operation == "RestoreObject":
            raise Answered(501, b"<Error><Code>NotImplemented</Code></Error>", {})

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        if request.operation == "ListObjectsV2":
            reply.body = reply.body.replace(b">STANDARD<", b">DEEP_ARCHIVE<")
        elif request.operation in ("HeadObject", "GetObject") and reply.status < 300:
            reply.headers["x-amz-storage-class"] = "DEEP_ARCHIVE"


# --- asking the server itself ------------------------------------------------------------


def ask(connection: Connection, target: str) -> bytes:
    """Return what the server behind says to GET."""
    upstream = http.client.HTTPConnection(*connection.proxy.upstream, timeout=60)
    try:
        # moto looks whether there is a signature, and no further.
        upstream.request("GET", target, headers={"Authorization": "AWS sandbox:"})
        return upstream.getresponse().read()
    finally:
        upstream.close()


def stored_parts(connection: Connection) -> dict[bytes, bytes]:
    """Return the ETags, without quotes, of the upload's parts by number."""
    request = connection.exchange.request
    listed = ask(connection, f"{request.path}?uploadId={request.query['uploadId']}")
    parts = re.findall(rb"<Part>.*?</Part>", listed, re.DOTALL)
    return {_field(part, b"PartNumber"): _field(part, b"ETag") for part in parts}


def _field(part: bytes, name: bytes) -> bytes:
    found = re.search(rb"<%b>(?:&quot;|\")?([^<&\"]*)" % name, part)
    assert found is not None, part
    return found[1]


# --- servers -----------------------------------------------------------------------------

_CREATES = ("PutObject", "CompleteMultipartUpload")
_CEPH = (
    KeepsNoChecksums(),
    CompletesWithoutEtag(),
    WantsAllParts(),
    SaysNoSuchKey(),
    SaysNoMore(),
)
CEPH = Server(
    *_CEPH, ComparesBareEtags(), IgnoresCondition("If-None-Match", ("CompleteMultipartUpload",))
)
CEPH_VERSIONED = Server(*_CEPH, RefusesIfMatch(), IgnoresCondition("If-None-Match", _CREATES))
RCLONE = Server(
    KeepsNoChecksums(),
    GivesMd5OfTheWhole(),
    KeepsPartsAsTheyAre(),
    SaysNoSuchUpload(),
    SendsRangesWith200(),
    TitleCasesMetadata(),
    IgnoresCondition("If-None-Match", _CREATES),
    IgnoresCondition("If-Match", ("PutObject",)),
)
SERVERS = {"ceph": CEPH, "ceph-versioned": CEPH_VERSIONED, "rclone": RCLONE}


def pretend(proxy: Proxy, server: Server) -> None:
    """Let the server behind the proxy pass for another one."""
    proxy.inject(server, times=None)
