"""A client whose transport answers what the test says, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.http.transport import Request, Response
from orchestrator_cli.core.s3.connection.operation_runner import OperationRunner
from orchestrator_cli.core.s3.connection.signing import SigningCodec
from orchestrator_cli.core.s3.sigv4 import SigningKey

_BUCKET_URL = "http://s3.example.test/bucket"
_KEY = SigningKey("AKIDEXAMPLE", "SECRETEXAMPLE", None, "us-east-1")


@dataclass
class Canned:
    """Gives or raises the answers in turn, the last one for ever; keeps the requests."""

    answers: list[Response | Exception]
    requests: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                # It must not hold itself, by its traceback.
                del answer
        if request.sink is not None and answer.status < 300:
            request.sink(answer.body)
            return Response(answer.status, answer.headers, b"", answer.seconds)
        return answer


def answer(
    body: bytes | str = b"", status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a response of a server that is quick."""
    data = body.encode() if isinstance(body, str) else body
    return Response(status, headers or {}, data, 0.001)


def canned(
    answers: Iterable[Response | Exception], retry: RetryPolicy | None = None
) -> tuple[OperationRunner, Canned]:
    """Return a client that gets these answers, and what it sends goes to."""
    transport = Canned(list(answers))
    quick = RetryPolicy(attempts=3, first_wait_seconds=0, patience_seconds=0)
    codec = SigningCodec(lambda: _BUCKET_URL, lambda: _KEY)
    return OperationRunner(codec, lambda: transport, retry or quick), transport
