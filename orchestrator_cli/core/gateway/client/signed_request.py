"""A request to the storage by a URL that a server has signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.s3.operations.request import Operation, S3Request, S3Response

T = TypeVar("T")


@dataclass(slots=True)
class SignedRequest:
    """A request of S3's that goes to a presigned URL, with its headers as they are."""

    url: str
    request: S3Request

    @property
    def what(self) -> str:
        """The name of the request in errors."""
        return self.request.what

    @property
    def before_retry(self) -> Callable[[OrchestratorError], Operation[None]] | None:
        """The operation that runs before the next attempt."""
        return self.request.before_retry

    @property
    def is_retried(self) -> bool:
        """Whether it is sent again."""
        return self.request.is_retried


def fetch_signed(url: str, request: S3Request, parse: Callable[[S3Response], T]) -> Operation[T]:
    """Send a request and return its parsed response; one that cannot be parsed is retried."""
    parsed: list[T] = []
    request.check = lambda response: parsed.append(parse(response))
    yield SignedRequest(url, request)
    return parsed[-1]
