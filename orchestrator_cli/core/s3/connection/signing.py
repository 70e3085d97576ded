"""Sign the requests of operations with the present credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from orchestrator_cli.core.http.transport import Request, Response, Task
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.core.s3.operations.request import S3Request, accept_response, sign_request
from orchestrator_cli.core.s3.sigv4 import SigningKey


class Signer(Protocol):
    """The bucket's URL and the key to sign with."""

    @property
    def bucket_url(self) -> str:
        """The bucket's URL, without a slash at its end."""
        ...

    def signing_key(self) -> SigningKey:
        """Return the credentials of this moment. Raises AccessError."""
        ...


class SigningCodec:
    """Signs requests about one bucket."""

    request_types = (S3Request,)

    def __init__(self, signer: Signer, demands: BucketDemands = NO_DEMANDS) -> None:
        """`demands` is what the bucket asks of every request."""
        self._signer = signer
        self._demands = demands

    def encode(self, request: S3Request) -> Task[Request]:
        """Return the request, signed for this moment."""
        yield from ()
        key = self._signer.signing_key()
        demanded = self._demands.headers(request.method, request.key, request.query)
        return sign_request(request, self._signer.bucket_url, key, datetime.now(UTC), demanded)

    def decode(self, request: S3Request, response: Response) -> Response:
        """Return a successful response. Raises the error of any other one."""
        return accept_response(request, response)
