"""The endpoints about the server itself: health, metrics and documentation."""

from __future__ import annotations

import gzip
import json
from datetime import date
from functools import cached_property, lru_cache
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from orchestrator_cli.api.docs.page import render_docs
from orchestrator_cli.api.guard.security_headers import DOCS_POLICY
from orchestrator_cli.api.json import json_response
from orchestrator_cli.api.metrics import MEDIA_TYPE as METRICS_TYPE
from orchestrator_cli.api.schemas import ERRORS
from orchestrator_cli.api.services import services_of

router = APIRouter(tags=["service"])
# Placeholder in the rendered page for the URL by which a client asks for it.
_BASE_PLACEHOLDER = "http://base.invalid"
# The page is kept for this many URLs of the server. Clients can make up host names, so a page is
# compressed at the fastest level.
_MAX_BASES = 8
_FASTEST = 1


@router.get("/healthz", response_class=Response)
async def healthz() -> Response:
    """Return 200 as long as the process responds."""
    return json_response({"status": "ok"})


@router.get("/readyz", response_class=Response, responses=ERRORS)
async def readyz(request: Request) -> Response:
    """Return 200 if the bucket could be listed within the last few seconds."""
    await services_of(request).readiness.check()
    return json_response({"status": "ok"})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}}, **ERRORS},
)
async def get_metrics(request: Request) -> Response:
    """Return the metrics of this process in the text format of Prometheus."""
    return Response(services_of(request).metrics.exposition(), media_type=METRICS_TYPE)


def add_documents(app: FastAPI, document: dict[str, Any]) -> None:
    """Add the routes of the OpenAPI document and of the page made from it."""
    openapi = _StaticDocument(json.dumps(document).encode(), "application/json", {})

    headers = {"Content-Security-Policy": DOCS_POLICY}

    @lru_cache(1)
    def page(today: date) -> bytes:
        return render_docs(document, _BASE_PLACEHOLDER, today).encode()

    @lru_cache(_MAX_BASES)
    def page_at(today: date, base: str) -> _StaticDocument:
        content = page(today).replace(_BASE_PLACEHOLDER.encode(), escape(base).encode())
        return _StaticDocument(content, "text/html", headers, _FASTEST)

    @app.get("/openapi.json", include_in_schema=False)
    async def get_document(request: Request) -> Response:
        return openapi.response(request)

    @app.get("/docs", include_in_schema=False)
    async def get_page(request: Request) -> Response:
        today = services_of(request).reads.now().date()
        return page_at(today, _base(request)).response(request)


class _StaticDocument:
    """A document that is compressed once and not for each response."""

    def __init__(
        self, content: bytes, media_type: str, headers: dict[str, str], level: int = 9
    ) -> None:
        self._content = content
        self._level = level
        self._media_type = media_type
        self._headers = {**headers, "Cache-Control": "no-store", "Vary": "Accept-Encoding"}

    @cached_property
    def _gzipped(self) -> bytes:
        return gzip.compress(self._content, self._level)

    def response(self, request: Request) -> Response:
        """Return the document, compressed if the client accepts that."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**self._headers, "Content-Encoding": "gzip"}
            return Response(self._gzipped, headers=headers, media_type=self._media_type)
        return Response(self._content, headers=self._headers, media_type=self._media_type)


def _base(request: Request) -> str:
    """Return the URL of this server as the client sees it, with https if a proxy ends TLS."""
    base = str(request.base_url).rstrip("/")
    forwarded = request.headers.get("x-forwarded-proto", "")
    return base.replace("http://", "https://", 1) if forwarded == "https" else base
