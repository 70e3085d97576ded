"""Encode requests to a server, and to the storage by the URLs that the server signs."""

from __future__ import annotations

import contextlib
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
    S3Request,
    accept_response,
    http_request,
)

_REDIRECT = 307


GatewayRequest = ServerRequest | S3Request


class GatewayCodec:
    """Sends the token to the server, and to nobody else.

    An S3Request without a presigned URL reads an object: the server is asked for one, unless one
    is kept.
    """

    request_types = (ServerRequest, S3Request)

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
        if request.presigned_url is not None:
            return http_request(request, request.presigned_url, request.headers)
        signed = self._urls.get(request.key)
        if signed is None:
            asked = url_request(request.key, request.what)
            signed = self._parse_url(request.key, request.what, (yield self._ask(asked)))
        return http_request(request, signed.url, request.headers)

    def decode(self, request: GatewayRequest, response: Response) -> Any:
        """Return the response to hand to the operation. Raises the error that it stands for."""
        if isinstance(request, ServerRequest):
            if request.url_of is not None:
                return self._parse_url(request.url_of, request.what, response)
            if request.is_raw and response.status == 200:
                return response
            return parse_response(response, request.what, self._base_url)
        try:
            accepted = accept_response(request, response)
        except AccessError as error:
            error.hint = HINTS["storage-access"]
            # Where the URL came with the request, only who sends it knows how to get another.
            error.retryable = request.presigned_url is None and self._urls.refuse(request.key)
            raise
        self._urls.accept(request.key)
        return accepted

    def _ask(self, request: ServerRequest) -> Request:
        headers = self._headers
        if request.content_type is not None:
            headers = {**headers, "content-type": request.content_type}
        return Request(
            request.method,
            self._base_url + request.path,
            headers,
            request.body,
            total_timeout_seconds=SMALL_RESPONSE_SECONDS,
        )

    def _parse_url(self, key: str, what: str, response: Response) -> SignedUrl:
        if response.status == _REDIRECT:
            with contextlib.suppress(ValueError):
                signed = SignedUrl.of(response.headers.get("location", ""))
                self._urls.put(key, signed)
                return signed
        parse_response(response, what, self._base_url)
        raise incompatible_server()


def url_request(key: str, what: str) -> ServerRequest:
    """Return a request whose response is the URL that reads an object."""
    execution_id, path = split_key(key)
    address = f"/executions/{execution_id}/artifacts/{quote(path)}"
    return ServerRequest(address, what, url_of=key)


def _check_token(text: str) -> str:
    # It becomes a header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token has characters that no token has")
    return text
