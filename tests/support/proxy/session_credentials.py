"""Credentials that end: a container-credentials endpoint on loopback, and an S3 that heeds them.

The endpoint hands out the keys of the present generation; `rotate` ends them at once, as their
time would, so no test waits for a clock.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tests.support.proxy.faults import Fault, expired_token
from tests.support.proxy.operations import Request
from tests.support.proxy.rules import Rule

_PATH = "/v2/credentials/task"
_AUTHORIZATION = "Bearer of-the-container-agent"
_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


class CredentialsEndpoint:
    """Hands out credentials. `lifetime` is what it says of them; `fetches` counts the answers.

    `outages` is how many of the next requests it answers with an error.
    """

    def __init__(self) -> None:
        self.generation = 1
        self.lifetime = timedelta(hours=6)
        self.rotates_itself = False
        self.fetches = 0
        self.outages = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self  # type: ignore[attr-defined]

    @property
    def environment(self) -> dict[str, str | None]:
        """The variables that lead the AWS chain here, and to nothing before it."""
        return {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self._server.server_port}{_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": _AUTHORIZATION,
        }

    @property
    def secrets(self) -> list[str]:
        """Every secret and token handed out so far."""
        numbers = range(1, self.generation + 1)
        return [text for number in numbers for text in (_secret(number), _token(number))]

    def rotate(self) -> None:
        """End the present credentials."""
        with self._lock:
            self.generation += 1

    def is_current(self, access_key: str, grace: int = 0) -> bool:
        """Say whether S3 still takes this access key."""
        number = int(access_key.removeprefix("ASIATEST") or 0)
        return number >= self.generation - grace

    def answer(self) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.fetches += 1
            if self.outages > 0:
                self.outages -= 1
                return 500, {"code": "InternalError", "message": "The agent is restarting."}
            self.generation += self.rotates_itself
            number = self.generation
        expires_at = datetime.now(UTC) + self.lifetime
        return 200, {
            "AccessKeyId": f"ASIATEST{number:04d}",
            "SecretAccessKey": _secret(number),
            "Token": _token(number),
            "Expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        endpoint = cast("CredentialsEndpoint", cast("Any", self.server).endpoint)
        known = self.path == _PATH and self.headers.get("Authorization") == _AUTHORIZATION
        status, document = endpoint.answer() if known else (403, {"message": "who are you?"})
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the tests' output clean."""


@contextmanager
def run_credentials_endpoint() -> Iterator[CredentialsEndpoint]:
    """Run an endpoint until the context ends."""
    endpoint = CredentialsEndpoint()
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.close()


@dataclass
class OnlyCurrent(Rule):
    """Answers ExpiredToken to requests that are signed with credentials that have ended.

    With `trigger`, its first match ends the present ones: they run out in that very moment.
    """

    fault: Fault = field(default_factory=expired_token)
    endpoint: CredentialsEndpoint | None = None
    trigger: Rule | None = None
    grace: int = 0

    def strikes(self, request: Request, chance: random.Random) -> bool:
        assert self.endpoint is not None
        if self.trigger is not None and self.trigger.strikes(request, chance):
            self.endpoint.rotate()
        refused = not self.endpoint.is_current(access_key_of(request), self.grace)
        self.struck += refused
        return refused


def access_key_of(request: Request) -> str:
    """Return the access key that a request is signed with, in its header or its query."""
    presigned = request.query.get("X-Amz-Credential")
    if presigned:
        return presigned.partition("/")[0]
    found = _ACCESS_KEY.search(request.headers.get("authorization", ""))
    assert found, "an unsigned request"
    return found[1]


def _secret(number: int) -> str:
    return f"secretOfGeneration{number:04d}NobodyMaySee"


def _token(number: int) -> str:
    return f"tokenOfGeneration{number:04d}//NobodyMaySee=="
