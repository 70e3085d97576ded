"""An S3 that costs almost nothing: nginx over TLS, fixed answers, bodies discarded.

So the client is what is measured. A write is answered with 201: with 200 nginx would evaluate
`If-None-Match: *` itself and answer 412. Reads are static files.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_START_SECONDS = 20
_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_PAGE = 1000
_MOST_PAGES = 128

_CONFIG = """\
{user}
worker_processes 2;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/tmp;
  proxy_temp_path {home}/tmp;
  fastcgi_temp_path {home}/tmp;
  uwsgi_temp_path {home}/tmp;
  scgi_temp_path {home}/tmp;
  map_hash_bucket_size 256;
  keepalive_requests 10000000;
  client_max_body_size 0;
  sendfile on;
  etag off;
  map "$request_method?$args" $call {{
    default read;
    "~^PUT" put;
    "~^DELETE" delete;
    "~^POST.*uploads" begin;
    "~^POST.*uploadId" complete;
    "~^GET.*uploads" uploads;
    "~^GET.*list-type=2" list;
    "~^GET.*location" location;
  }}
  map "$arg_prefix" $listed {{
    default empty;
    {lists}
  }}
  map "$args" $page {{
    default 0;
    {pages}
  }}
  # A large object is not there before it is completed: the look before it asks for no checksum.
  map "$http_x_amz_checksum_mode|$request_method|$uri" $unborn {{
    default "";
    "~^\\|(GET|HEAD)\\|/bench/executions/{new_id}/(artifacts|logs)/" 1;
  }}
  map "$request_method|$uri" $checksum {{
    default $http_x_amz_checksum_sha256;
    {composites}
  }}
  map "$uri" $schedule {{
    default "";
    "~/executions/{new_id}/(artifacts|logs)/" "{schedule}";
  }}
  map "$uri" $sha256 {{
    default "";
    "~/(again|down)/" {small_sha256};
    "~/executions/({again_id}|{down_id})/artifacts/" {small_sha256};
    {logs}
  }}
  map "$uri" $etag {{
    default "0123456789abcdef0123456789abcdef";
    {etags}
    "~/(again|down)/" {small_md5};
    "~/executions/({again_id}|{down_id})/artifacts/" {small_md5};
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {home}/leaf.pem;
    ssl_certificate_key {home}/leaf.key;
    root {home}/www;
    default_type application/octet-stream;
    add_header ETag '"$etag"' always;
    add_header x-amz-checksum-sha256 $checksum always;
    add_header x-amz-meta-sha256 $sha256;
    add_header x-amz-meta-part-schedule $schedule;
    location /lists/ {{ internal; default_type application/xml; }}
    location / {{
      if ($unborn) {{ return 404 ""; }}
      if ($call = put) {{ return 201 ""; }}
      if ($call = delete) {{ return 204; }}
      if ($call = begin) {{ return 200 '{begin}'; }}
      if ($call = complete) {{ return 201 '{complete}'; }}
      if ($call = uploads) {{ return 200 '{uploads}'; }}
      if ($call = location) {{ return 200 '{location}'; }}
      if ($call = list) {{ rewrite ^ /lists/$listed-$page.xml? last; }}
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the sink says of the objects that it serves: digests in hex or as S3 writes them.

    `logs` maps a log's name to its SHA-256; `large` a path of the execution that is uploaded to
    its composite checksum, with the number of parts.
    """

    small: bytes
    logs: Mapping[str, str]
    large: Mapping[str, str]
    schedule: str


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink; `ca_file` is the CA that its certificate is of."""

    endpoint_url: str
    ca_file: Path
    home: Path


def find_nginx() -> str | None:
    """Return nginx's path, which Debian keeps out of an ordinary user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def write_listing(
    home: Path, name: str, prefix: str, paths: list[str], size: int, etag: str
) -> None:
    """Write the pages of a listing of files that are all alike."""
    keys = sorted(prefix + path for path in paths)
    # Later than the local files, for who compares times, but not in the future: s5cmd passes that
    # over.
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
            f"{_XML}<ListBucketResult {_NS}><Name>bench</Name><Prefix>{prefix}</Prefix>"
            f"<KeyCount>{len(chosen)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )


@contextmanager
def run_sink(nginx: str, home: Path, ids: Mapping[str, str], stored: Stored) -> Iterator[Sink]:
    """Serve what is below `home/www`, as the bucket `bench`, until the block ends."""
    for directory in ("tmp", "www/lists"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    make_certificates(home)
    port = _free_port()
    (home / "nginx.conf").write_text(_render(home, port, ids, stored))
    command = [nginx, "-p", str(home), "-c", str(home / "nginx.conf"), "-g", "daemon off;"]
    # A session of its own: its workers must end with it, whatever ends this process.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            sink = Sink(f"https://localhost:{port}", home / "ca.pem", home)
            _await(process, sink, home)
            yield sink
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _render(home: Path, port: int, ids: Mapping[str, str], stored: Stored) -> str:
    """Return nginx's configuration. `ids` are the executions `new`, `again` and `down`."""
    prefixes = {
        f"executions%2F{ids['again']}%2F": "again",
        f"executions%2F{ids['down']}%2F": "down",
        "again%2F": "peer-again",
        "again/": "peer-again",
        "down%2F": "peer-down",
        "down/": "peer-down",
    }
    pages = range(1, _MOST_PAGES)
    root = f"/bench/executions/{ids['new']}/"
    return _CONFIG.format(
        # Its workers would give up root's rights, and the files are in a directory of root's.
        user="user root;" if os.geteuid() == 0 else "",
        home=home,
        port=port,
        lists=_lines(f'"{prefix}" {name};' for prefix, name in prefixes.items()),
        pages=_lines(f'"~continuation-token=page{one}(&|$)" {one};' for one in pages),
        small_sha256=hashlib.sha256(stored.small).hexdigest(),
        small_md5=hashlib.md5(stored.small, usedforsecurity=False).hexdigest(),
        logs=_lines(f"~/{ids['down']}/logs/{name}$ {hex_};" for name, hex_ in stored.logs.items()),
        composites=_lines(f'"HEAD|{root}{path}" "{text}";' for path, text in stored.large.items()),
        etags=_lines(
            f'"{root}{path}" "{"0" * 32}-{text.rpartition("-")[2]}";'
            for path, text in stored.large.items()
        ),
        schedule=stored.schedule,
        new_id=ids["new"],
        again_id=ids["again"],
        down_id=ids["down"],
        begin=f"{_XML}<InitiateMultipartUploadResult {_NS}><Bucket>bench</Bucket><Key>k</Key>"
        "<UploadId>u1</UploadId></InitiateMultipartUploadResult>",
        complete=f"{_XML}<CompleteMultipartUploadResult {_NS}><Bucket>bench</Bucket><Key>k</Key>"
        "<ETag>x-1</ETag></CompleteMultipartUploadResult>",
        uploads=f"{_XML}<ListMultipartUploadsResult {_NS}><IsTruncated>false</IsTruncated>"
        "</ListMultipartUploadsResult>",
        location=f"{_XML}<LocationConstraint {_NS}/>",
    )


def _lines(lines: Iterable[str]) -> str:
    return "\n    ".join(lines)


def client_environment(sink: Sink) -> dict[str, str]:
    """Return the variables that point every peer, and this tool, at the sink."""
    ca = str(sink.ca_file)
    return {
        "AWS_ENDPOINT_URL": sink.endpoint_url,
        "S3_ENDPOINT_URL": sink.endpoint_url,
        "AWS_CA_BUNDLE": ca,
        "SSL_CERT_FILE": ca,
    }


def _await(process: subprocess.Popen[bytes], sink: Sink, home: Path) -> None:
    port = int(sink.endpoint_url.rpartition(":")[2])
    trust = ssl.create_default_context(cafile=str(sink.ca_file))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPSConnection("localhost", port, context=trust)
            connection.request("PUT", "/bench/probe", b"x")
            answer = connection.getresponse()
        except OSError:
            time.sleep(0.05)
            continue
        if answer.status == 201:
            connection.close()
            return
    log = home / "error.log"
    raise OSError(f"nginx did not start: {log.read_text() if log.exists() else ''}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificates(home: Path) -> None:
    """Make a CA and a certificate of it: some TLS libraries take no CA for a server."""

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments],
            cwd=home,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        *("-subj", "/CN=benchmark CA", "-addext", "basicConstraints=critical,CA:TRUE"),
    )
    openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
    (home / "leaf.ext").write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
    )
    openssl(
        *("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-out", "leaf.pem", "-days", "2", "-extfile", "leaf.ext"),
    )
