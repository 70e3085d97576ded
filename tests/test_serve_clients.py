"""The server and clients that have gone, that do not read, or that ask again and again."""

from __future__ import annotations

import http.client
import time

from tests.support.serving import WAIT, Serve


def test_an_answer_waits_for_no_acknowledgement(serve: Serve) -> None:
    """On Linux that would take 40 ms, each time; the fastest tells, however busy the machine is."""
    server = serve()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
    seconds = []
    for _ in range(30):
        begun = time.monotonic()
        client.request("GET", "/healthz")
        assert client.getresponse().read() == b'{"status": "ok"}'
        seconds.append(time.monotonic() - begun)
    client.close()
    # The first few are acknowledged at once.
    assert min(seconds[20:]) < 0.03
