"""Sign the requests of operations with the present credentials."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from orchestrator_cli.core.http.transport import Request, Response, Task
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.core.s3.operations.request import S3Request, accept_response, sign_request
from orchestrator_cli.core.s3.sigv4 import SigningKey


class SigningCodec:
    """Signs requests about one bucket."""

    request_types = (S3Request,)

    def __init__(
        self,
        bucket_url: Callable[[], str],
        signing_key: Callable[[], SigningKey],
        demands: BucketDemands = NO_DEMANDS,
    ) -> None:
        """Both are asked for each request, as the region and the credentials may change.

        `demands` is what the bucket asks of every request.
        """
        self._bucket_url = bucket_url
        self._signing_key = signing_key
        self._demands = demands

    def encode(self, request: S3Request) -> Task[Request]:
        """Return the request, signed for this moment."""
        yield from ()
        key = self._signing_key()
        demanded = self._demands.headers(request.method, request.key, request.query)
        return sign_request(request, self._bucket_url(), key, datetime.now(UTC), demanded)

    def decode(self, request: S3Request, response: Response) -> Response:
        """Return a successful response. Raises the error of any other one."""
        return accept_response(request, response)
