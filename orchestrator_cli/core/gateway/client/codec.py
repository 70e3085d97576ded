"""Encode requests to a server, and to the storage by the URLs that the server signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.gateway.client.file_index import split_key
from orchestrator_cli.core.gateway.client.server_request import (
    HINTS,
    ServerRequest,
    incompatible_server,
    parse_response,
)
from orchestrator_cli.core.gateway.client.signed_urls import SignedUrl, SignedUrls
from orchestrator_cli.core.http.transport import Request, Response, Task
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    BeforeRetry,
    S3Request,
    accept_response,
    http_request,
)

_REDIRECT = 307


@dataclass(slots=True)
class UrlRequest:
    """Asks for a URL that reads an object. Raises NotFoundError, ArchivedError.

    For `what`, `kind`, `before_retry` and `is_retried` see `OperationRequest`.
    """

    key: str
    what: str
    before_retry: BeforeRetry | None = None
    is_retried: bool = True

    @property
    def kind(self) -> str:
        """What it has in common with the requests that are throttled when it is."""
        return "serve GET"

    @property
    def takes_long(self) -> bool:
        """Whether sending it or its response may take long on a slow network."""
        return False


GatewayRequest = ServerRequest | UrlRequest | S3Request


class GatewayCodec:
    """Sends the token to the server, and to nobody else.

    An S3Request without a presigned URL reads an object: the server is asked for one, unless one
    is kept.
    """

    request_types = (ServerRequest, UrlRequest, S3Request)

    def __init__(self, base_url: str, token: str | None, urls: SignedUrls) -> None:
        self._base_url = base_url
        self._urls = urls
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {_check_token(token)}"

    def encode(self, request: GatewayRequest) -> Task[Request]:
        """Return the HTTP request; for an S3Request it may ask the server for a URL first."""
        if isinstance(request, ServerRequest):
            return self._ask(request)
        if isinstance(request, UrlRequest):
            return self._get(_path_of(request.key))
        if request.presigned_url is not None:
            return http_request(request, request.presigned_url, request.headers)
        signed = self._urls.get(request.key)
        if signed is None:
            asked = UrlRequest(request.key, request.what)
            signed = self._parse_url(asked, (yield self._get(_path_of(request.key))))
        return http_request(request, signed.url, request.headers)

    def decode(self, request: GatewayRequest, response: Response) -> Any:
        """Return the response to hand to the operation. Raises the error that it stands for."""
        if isinstance(request, ServerRequest):
            if request.is_raw and response.status == 200:
                return response
            return parse_response(response, request.what, self._base_url)
        if isinstance(request, UrlRequest):
            return self._parse_url(request, response)
        try:
            accepted = accept_response(request, response)
        except AccessError as error:
            error.hint = HINTS["storage-access"]
            # Where the URL came with the request, only who sends it knows how to get another.
            error.retryable = request.presigned_url is None and self._urls.refuse(request.key)
            raise
        self._urls.accept(request.key)
        return accepted

    def _get(self, path: str) -> Request:
        url = self._base_url + path
        return Request("GET", url, self._headers, total_timeout_seconds=SMALL_RESPONSE_SECONDS)

    def _ask(self, request: ServerRequest) -> Request:
        if request.content_type is None:
            return self._get(request.path)
        return Request(
            request.method,
            self._base_url + request.path,
            {**self._headers, "content-type": request.content_type},
            request.body,
            total_timeout_seconds=SMALL_RESPONSE_SECONDS,
        )

    def _parse_url(self, request: UrlRequest, response: Response) -> SignedUrl:
        signed = _signed_url(response) if response.status == _REDIRECT else None
        if signed is None:
            parse_response(response, request.what, self._base_url)
            raise incompatible_server()
        self._urls.put(request.key, signed)
        return signed


def _signed_url(response: Response) -> SignedUrl | None:
    """Return the URL that a server redirects to; None where it is not one that expires."""
    try:
        return SignedUrl.of(response.headers.get("location", ""))
    except ValueError:
        return None


def _path_of(key: str) -> str:
    execution_id, path = split_key(key)
    return f"/executions/{execution_id}/artifacts/{quote(path)}"


def _check_token(text: str) -> str:
    # It becomes a header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token has characters that no token has")
    return text
