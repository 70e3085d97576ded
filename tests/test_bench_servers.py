"""The benchmark's servers: what is measured against them is only as true as their answers."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from tests.bench.certificates import make_certificates
from tests.bench.fixtures import AGAIN_ID, DOWN_ID, NEW_ID, Sizes, fill_sink, make_fixtures
from tests.bench.nginx_config import Settings
from tests.bench.sink import find_nginx, run_sink

TINY = Sizes(3, 100, 1 << 20, 1 << 20, 1, 1 << 20)


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_the_sink_is_set_up_as_asked(tmp_path: Path) -> None:
    nginx = find_nginx()
    assert nginx is not None
    settings = Settings(tls="1.2", rsa=True, keepalive_requests=2, workers=1)
    assert str(settings) == "TLS 1.2, RSA, 2 requests a connection, 1 workers"
    assert str(Settings()) == ""
    make_certificates(tmp_path, settings.rsa)
    stored = fill_sink(tmp_path, make_fixtures(tmp_path, TINY))
    ids = {"new": NEW_ID, "again": AGAIN_ID, "down": DOWN_ID}
    with run_sink(nginx, tmp_path, ids, stored, settings) as endpoint_url:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        port = int(endpoint_url.rpartition(":")[2])
        connection = http.client.HTTPSConnection("localhost", port, context=trust)
        for path, expected in (("again/d00/f000000.txt", 100), ("down/d01/f000001.txt", 100)):
            connection.request("GET", f"/bench/{path}")
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (200, expected)
            if path.startswith("again"):
                assert connection.sock.version() == "TLSv1.2"
        assert answer.getheader("Connection") == "close"
