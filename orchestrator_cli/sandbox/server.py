"""The server process of the sandbox: moto's S3 over HTTP/1.1 on a loopback port.

It is run as a script. It prints its port, which the kernel has chosen, and exits when its standard
input ends, so that it never outlives its parent.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import IO, Any, cast

from flask import Flask, has_request_context, request
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response
from werkzeug.serving import DechunkedInput, make_server
from werkzeug.test import run_wsgi_app

from orchestrator_cli.sandbox.size_filters import keep_size_filters

_PR_SET_PDEATHSIG = 1
_SHA256 = "x-amz-checksum-sha256"
_WITHOUT_BODY = frozenset({204, 304})
_ERROR = '<?xml version="1.0"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'

# moto checks the condition of a write and then writes, in two steps. Without this lock, two
# create-only writes could both succeed and a compare-and-swap could lose an update, unlike in S3.
_request_lock = threading.Lock()


def _make_dates_cheap() -> None:
    """Give moto's listings datetimes: it would format, parse and format each again."""
    key_class: Any = FakeKey  # a type checker does not see that a property is an object
    key_class.last_modified_ISO8601 = property(lambda key: key.last_modified.replace(microsecond=0))


def _count_parts_of_checksums() -> None:
    """Let HEAD give a composite checksum with its part count, as S3 and moto's GET do.

    Without it a client has to fall back on MD5, which takes three times as long.
    """
    head_object = S3Response.head_object

    def head_with_part_count(self: Any, *args: Any, **kwargs: Any) -> Any:
        status, headers, body = head_object(self, *args, **kwargs)
        checksum, etag = headers.get(_SHA256), headers.get("ETag", "").strip('"')
        if checksum and "-" in etag and "-" not in checksum:
            headers[_SHA256] = f"{checksum}-{etag.rpartition('-')[2]}"
        return status, headers, body

    S3Response.head_object = head_with_part_count  # type: ignore[method-assign]


class _SlicedContent:
    """The content of an object, of which only the slices that moto takes are read."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def __getitem__(self, wanted: slice) -> bytes:
        self._file.seek(wanted.start)
        return self._file.read(wanted.stop - wanted.start)

    def __iter__(self) -> Iterator[bytes]:
        yield self[0 : len(self)]


def _make_ranges_cheap() -> None:
    """Make moto read only the requested range of an object, where it would read all of it."""
    key_class: Any = FakeKey  # a type checker does not see that a property is an object
    whole = key_class.value

    def value(key: Any) -> Any:
        if not has_request_context() or "HTTP_RANGE" not in request.environ:
            return whole.__get__(key)
        # moto has no public way to read a part; a test fails should it rename this.
        return _SlicedContent(key._value_buffer, key.contentsize)  # noqa: SLF001

    key_class.value = whole.getter(value)


def _make_application() -> Flask:
    """Return moto's S3 application, with Flask's debug mode off."""
    application = create_backend_app("s3")
    application.debug = False
    # Exceptions of moto reach `_call_moto`, as when an application is debugged.
    application.config["PROPAGATE_EXCEPTIONS"] = True
    return application


class _Services:
    """The WSGI application: S3, and CloudFormation once somebody asks for it."""

    def __init__(self) -> None:
        self._s3 = _make_application()
        self._cloudformation: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request. Its signature names the service."""
        if "/cloudformation/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self._s3(environ, start_response)
        if self._cloudformation is None:
            # The import takes a few seconds, so it waits for the first request.
            from orchestrator_cli.sandbox.cloudformation import make_application

            self._cloudformation = make_application()
        return self._cloudformation(environ, start_response)


class KeepAliveHandler(MotoRequestHandler):
    """Serves many requests on one connection.

    Werkzeug's own handler closes the connection after each response, because the application may
    not have read the body. This one reads the body before it calls the application.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Serve one request. As with S3, a request with an incomplete body has no effect."""
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        status, headers, content = self._call_moto(body)
        self._send(status, headers, content)

    def _read_body(self) -> bytes | None:
        """Return the whole body; None if the client closed the connection before its end."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            # Trailers may follow the last chunk and are not read, so the connection is unusable.
            self.close_connection = True
            return DechunkedInput(cast("IO[bytes]", self.rfile)).read()
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        return body if len(body) == size else None

    def _call_moto(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        environ = self.make_environ()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["wsgi.input_terminated"] = True
        environ["CONTENT_LENGTH"] = str(len(body))
        try:
            with _request_lock:
                chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
            return int(status.split()[0]), list(headers), b"".join(chunks)
        except Exception as error:
            return self._error_response(error)

    def _error_response(self, error: Exception) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the response of S3 where moto raises, as it does for parts of an ended upload."""
        status, code, message = 500, "InternalError", "The sandbox failed on this request."
        if isinstance(error, KeyError) and "uploadId=" in self.path:
            status, code, message = 404, "NoSuchUpload", "The specified upload does not exist."
        elif isinstance(error, ImportError):
            status, code, message = 501, "NotImplemented", f"moto[cloudformation] lacks: {error}"
        else:
            traceback.print_exception(error)
        return status, [("Content-Type", "application/xml")], _ERROR.format(code, message).encode()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer by a single write, since each costs as much as what moto does for a request."""
        lines = [
            f"{self.protocol_version} {status} {self.responses[status][0]}",
            f"Date: {self.date_time_string()}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            lines.append("Connection: close")
        has_body = self.command != "HEAD" and status not in _WITHOUT_BODY
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.wfile.write(head + body if has_body else head)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Write no access log. Exceptions of moto go to standard error."""


def _exit_with_parent() -> None:
    """Exit when standard input ends and, on Linux, as soon as the parent is dead."""
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    if sys.platform == "linux" and "--pdeathsig" in sys.argv:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _raise_open_files_limit() -> None:
    """Raise the soft limit on open files: moto keeps one for each large part and object."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS refuses “unlimited”; the default limit will do
        return


def main() -> None:
    """Serve until standard input ends."""
    _exit_with_parent()
    _raise_open_files_limit()
    _make_ranges_cheap()
    _make_dates_cheap()
    _count_parts_of_checksums()
    keep_size_filters()
    application = _Services()
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=KeepAliveHandler
    )
    gc.freeze()
    os.write(1, b"%d\n" % server.port)
    # The parent reads only this line, so nothing else may be written to the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    server.serve_forever()


if __name__ == "__main__":
    main()
