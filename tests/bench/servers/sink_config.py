"""The sink's nginx configuration: what S3 would answer, as far as it is asked here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

XML = '<?xml version="1.0" encoding="UTF-8"?>'
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
# Where it can be reached without TLS, below its home.
SOCKET = "sink.sock"

_HTTP = """\
  map_hash_bucket_size 256;
  keepalive_requests {keepalive_requests};
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
  # The CRT takes no 201 for success, and needs none: it sends no condition.
  # nginx would compare the condition of a swap with an ETag of its own, and refuse it.
  map "$call|$http_if_none_match$http_if_match" $unconditional {{
    default "";
    "put|" put;
    "complete|" complete;
  }}
  map "$arg_prefix" $listed {{
    default empty;
    {lists}
  }}
  map "$args" $page {{
    default 0;
    "~continuation-token=page(?<number>[0-9]+)(&|$)" $number;
  }}
  # "return" answers before it has read the body, and Go's clients stop sending it then. What is
  # passed on is read in whole before. A small body arrives with its head.
  map "$request_method|$http_content_length" $bulk {{
    default "";
    "~^PUT\\|[0-9]{{6}}" 1;
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
    "~/executions/({new_id}|{large_id})/(artifacts|logs)/" "{schedule}";
  }}
  map "$uri" $sha256 {{
    default "";
    "~/(again|down)/" {small_sha256};
    "~/executions/({again_id}|{down_id})/artifacts/" {small_sha256};
    {logs}
    "~{searched}" {searched_sha256};
  }}
  map "$uri" $etag {{
    default '"0123456789abcdef0123456789abcdef"';
    {etags}
    "~/(again|down)/" '"{small_md5}"';
    "~/executions/({again_id}|{down_id})/artifacts/" '"{small_md5}"';
    "~{searched}" '"{searched_md5}"';
  }}
  # As large as a part of any tool: none of it is to be written to a disk.
  client_body_buffer_size 64m;
  server {{
    listen unix:accept.sock;
    location / {{
      if ($unconditional) {{ return 200 ""; }}
      return 201 "";
    }}
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    # For who stands before it.
    listen unix:{socket};
    ssl_protocols {protocols};
    ssl_certificate {home}/leaf.pem;
    ssl_certificate_key {home}/leaf.key;
    root {home}/www;
    default_type application/octet-stream;
    # As S3 always says, and what tells it from any other server: nginx's own ETag is no MD5.
    add_header x-amz-request-id $request_id always;
    add_header ETag $etag always;
    add_header x-amz-checksum-sha256 $checksum always;
    add_header x-amz-meta-sha256 $sha256;
    add_header x-amz-meta-part-schedule $schedule;
    # nginx compares If-Match with its own ETag alone, and aws sends it for what is large.
    # An empty ETag of ours would take away nginx's, so that none is added here.
    location /bench/executions/{log_id}/logs/ {{
      etag on;
      add_header x-amz-request-id $request_id always;
      add_header x-amz-meta-sha256 $sha256;
    }}
    location /lists/ {{ internal; default_type application/xml; }}
    location / {{
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_hide_header Content-Type;
      if ($bulk) {{ proxy_pass http://unix:accept.sock; break; }}
      if ($unborn) {{ return 404 ""; }}
      if ($unconditional = put) {{ return 200 ""; }}
      if ($unconditional = complete) {{ return 200 '{complete}'; }}
      if ($call = put) {{ return 201 ""; }}
      if ($call = delete) {{ return 204; }}
      if ($call = begin) {{ return 200 '{begin}'; }}
      if ($call = complete) {{ return 201 '{complete}'; }}
      if ($call = uploads) {{ return 200 '{uploads}'; }}
      if ($call = location) {{ return 200 '{location}'; }}
      if ($call = list) {{ rewrite ^ /lists/$listed-$page.xml? last; }}
    }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the sink says of the objects that it serves: digests in hex or as S3 writes them.

    `logs` maps a log's name to its SHA-256; `large` a path of the execution that is uploaded to
    its composite checksum, with the number of parts. `searched` is what each of many logs holds.
    """

    small: bytes
    logs: Mapping[str, str]
    large: Mapping[str, str]
    schedule: str
    searched: bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server is set up. S3 itself closes a connection after 100 requests or so."""

    tls: str | None = None
    rsa: bool = False
    keepalive_requests: int = 10_000_000
    workers: int = 2

    def __str__(self) -> str:
        """Name what differs from the defaults, for the name of the server."""
        told, usual = [], Settings()
        if self.tls:
            told.append(f"TLS {self.tls}")
        if self.rsa:
            told.append("RSA")
        if self.keepalive_requests != usual.keepalive_requests:
            told.append(f"{self.keepalive_requests:,} requests a connection")
        if self.workers != usual.workers:
            told.append(f"{self.workers} workers")
        return ", ".join(told)


def render_config(
    home: Path, port: int, ids: Mapping[str, str], stored: Stored, settings: Settings
) -> str:
    """Return the `http` block of nginx's configuration, for the ids of the executions by name."""
    prefixes = {
        f"executions%2F{ids['again']}%2F": "again",
        # An upload lists where files go; were that empty, it would send them all again.
        f"executions%2F{ids['again']}%2Fartifacts%2Fcustom%2F": "again",
        f"executions%2F{ids['down']}%2F": "down",
        f"executions%2F{ids['large']}%2F": "large",
        "again%2F": "peer-again",
        "again/": "peer-again",
        "down%2F": "peer-down",
        "down/": "peer-down",
        "executions%2F": "searched",
        "executions/": "searched",
    }
    root = f"/bench/executions/{ids['new']}/"
    # What is uploaded is there under another id too, to be downloaded.
    composites = {f"{root}{path}": text for path, text in stored.large.items()}
    stem = "artifacts/custom/large.bin"
    composites[f"/bench/executions/{ids['large']}/{stem}"] = stored.large[stem]
    return _HTTP.format(
        home=home,
        port=port,
        socket=SOCKET,
        protocols=f"TLSv{settings.tls}" if settings.tls else "TLSv1.2 TLSv1.3",
        keepalive_requests=settings.keepalive_requests,
        lists=_lines(f'"{prefix}" {name};' for prefix, name in prefixes.items()),
        small_sha256=hashlib.sha256(stored.small).hexdigest(),
        small_md5=hashlib.md5(stored.small, usedforsecurity=False).hexdigest(),
        logs=_lines(f"~/{ids['log']}/logs/{name}$ {hex_};" for name, hex_ in stored.logs.items()),
        composites=_lines(f'"HEAD|{key}" "{text}";' for key, text in composites.items()),
        # The other executions' ids are of long ago.
        searched="/executions/(?!01J00)[^/]+/logs/stdout[.]log$",
        searched_sha256=hashlib.sha256(stored.searched).hexdigest(),
        searched_md5=hashlib.md5(stored.searched, usedforsecurity=False).hexdigest(),
        etags=_lines(
            f'"{key}" \'"{"0" * 32}-{text.rpartition("-")[2]}"\';'
            for key, text in composites.items()
        ),
        schedule=stored.schedule,
        new_id=ids["new"],
        large_id=ids["large"],
        again_id=ids["again"],
        down_id=ids["down"],
        log_id=ids["log"],
        begin=f"{XML}<InitiateMultipartUploadResult {NS}><Bucket>bench</Bucket><Key>k</Key>"
        "<UploadId>u1</UploadId></InitiateMultipartUploadResult>",
        complete=f"{XML}<CompleteMultipartUploadResult {NS}><Bucket>bench</Bucket><Key>k</Key>"
        "<ETag>x-1</ETag></CompleteMultipartUploadResult>",
        uploads=f"{XML}<ListMultipartUploadsResult {NS}><IsTruncated>false</IsTruncated>"
        "</ListMultipartUploadsResult>",
        location=f"{XML}<LocationConstraint {NS}/>",
    )


def _lines(lines: Iterable[str]) -> str:
    return "\n    ".join(lines)
