"""The configuration of nginx as a reverse proxy before `serve`: TLS and limits for each client."""

from __future__ import annotations

import re

from orchestrator_cli.infrastructure.target import validate

# The limits for each address.
REQUESTS_A_SECOND = 50
BURST = 200
CONNECTIONS = 64
_SITE = """\
# /etc/nginx/conf.d/orchestrator.conf
limit_req_zone $binary_remote_addr zone=orchestrator:10m rate=@requests@r/s;
limit_conn_zone $binary_remote_addr zone=orchestrator_connections:10m;
# Query strings may contain signatures and searches, so the log leaves them out.
log_format orchestrator '$remote_addr [$time_local] "$request_method $uri" $status $bytes_sent';

server {
  listen 443 ssl;
  listen [::]:443 ssl;
  server_name @name@;

  ssl_certificate /etc/nginx/tls/@name@.crt;
  ssl_certificate_key /etc/nginx/tls/@name@.key;
  ssl_protocols TLSv1.2 TLSv1.3;

  access_log /var/log/nginx/orchestrator.log orchestrator;
  # Files are uploaded to S3 directly; request bodies here are small JSON messages.
  client_max_body_size 2m;
  limit_req zone=orchestrator burst=@burst@ nodelay;
  limit_req_status 429;
  limit_conn orchestrator_connections @connections@;
  limit_conn_status 429;

  location / {
    proxy_pass http://127.0.0.1:@port@;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;
    # Pass on a followed log as it is written, and wait while nothing is written.
    proxy_buffering off;
    proxy_read_timeout 10m;
  }

  # For Prometheus on this machine only.
  location = /metrics {
    allow 127.0.0.1;
    allow ::1;
    deny all;
    proxy_pass http://127.0.0.1:@port@;
  }
}
"""


def render_nginx(server_name: str, port: int) -> str:
    """Return a site that proxies to `serve` on a loopback port."""
    values = {
        "name": validate("server name", server_name),
        "port": port,
        "requests": REQUESTS_A_SECOND,
        "burst": BURST,
        "connections": CONNECTIONS,
    }
    return re.sub("@([a-z]+)@", lambda found: str(values[found[1]]), _SITE)
