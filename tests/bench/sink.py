"""An S3 that costs almost nothing: nginx over TLS, fixed answers, bodies discarded.

So the client is what is measured. A write with `If-None-Match: *` is answered with 201: with
200 nginx would evaluate the condition itself and answer 412. Reads are static files.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.nginx_config import NS, XML, Settings, Stored, render_config

_START_SECONDS = 20
_PAGE = 1000


def find_nginx() -> str | None:
    """Return nginx's path, which Debian keeps out of an ordinary user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def write_listing(
    home: Path, name: str, prefix: str, paths: list[str], size: int, etag: str
) -> None:
    """Write the pages of a listing of files that are all alike."""
    keys = sorted(prefix + path for path in paths)
    # Not in the future: s5cmd passes that over.
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for number, start in enumerate(range(0, max(len(keys), 1), _PAGE)):
        chosen = keys[start : start + _PAGE]
        more = start + _PAGE < len(keys)
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{now}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in chosen
        )
        token = f"<NextContinuationToken>page{number + 1}</NextContinuationToken>" if more else ""
        (home / "www/lists" / f"{name}-{number}.xml").write_text(
            f"{XML}<ListBucketResult {NS}><Name>bench</Name><Prefix>{prefix}</Prefix>"
            f"<KeyCount>{len(chosen)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )


@contextmanager
def run_sink(
    nginx: str, home: Path, ids: Mapping[str, str], stored: Stored, settings: Settings
) -> Iterator[str]:
    """Serve what is below `home/www`, as the bucket `bench`, until the block ends.

    Yields the endpoint. The certificates are in `home`.
    """
    for directory in ("tmp", "www/lists"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    port = _free_port()
    (home / "nginx.conf").write_text(render_config(home, port, ids, stored, settings))
    command = [nginx, "-p", str(home), "-c", str(home / "nginx.conf"), "-g", "daemon off;"]
    # A session of its own: its workers must end with it, whatever ends this process. Its socket has
    # a name without a path, which may be too long for one.
    with subprocess.Popen(command, start_new_session=True, cwd=home) as process:
        try:
            _await(process, port, home)
            yield f"https://localhost:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    trust = ssl.create_default_context(cafile=str(home / "ca.pem"))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPSConnection("localhost", port, context=trust)
            connection.request("PUT", "/bench/probe", b"x")
            answer = connection.getresponse()
        except OSError:
            time.sleep(0.05)
            continue
        if answer.status == 200:
            connection.close()
            return
    log = home / "error.log"
    raise OSError(f"nginx did not start: {log.read_text() if log.exists() else ''}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
