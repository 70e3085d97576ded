"""The endpoints about the server itself: whether it works, what it counts, how to use it."""

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
from orchestrator_cli.api.json import json_answer
from orchestrator_cli.api.metrics import MEDIA_TYPE as METRICS_TYPE
from orchestrator_cli.api.schemas import ERRORS
from orchestrator_cli.api.services import services_of

router = APIRouter(tags=["service"])
# Where the page has the address of this server, until somebody asks by one.
_BASE = "http://base.invalid"
# Whoever asks by ever new names has each page packed; most ask by the same few.
_QUICK = 1
_BASES = 8


@router.get("/healthz", response_class=Response)
async def healthz() -> Response:
    """Say that the process answers."""
    return json_answer({"status": "ok"})


@router.get("/readyz", response_class=Response, responses=ERRORS)
async def readyz(request: Request) -> Response:
    """Say whether the bucket can be listed, as of the last few seconds."""
    await services_of(request).readiness.check()
    return json_answer({"status": "ok"})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}}, **ERRORS},
)
async def get_metrics(request: Request) -> Response:
    """Count the requests of this process, in Prometheus' text format."""
    return Response(services_of(request).metrics.exposition(), media_type=METRICS_TYPE)


def add_documents(app: FastAPI, document: dict[str, Any]) -> None:
    """Add the OpenAPI document and the page made from it, each rendered once."""
    packed = _Packed(json.dumps(document).encode(), "application/json", {})

    headers = {"Content-Security-Policy": DOCS_POLICY}

    @lru_cache(1)
    def page(today: date) -> bytes:
        return render_docs(document, _BASE, today).encode()

    @lru_cache(_BASES)
    def page_at(today: date, base: str) -> _Packed:
        content = page(today).replace(_BASE.encode(), escape(base).encode())
        return _Packed(content, "text/html", headers, _QUICK)

    @app.get("/openapi.json", include_in_schema=False)
    async def get_document(request: Request) -> Response:
        return packed.response(request)

    @app.get("/docs", include_in_schema=False)
    async def get_page(request: Request) -> Response:
        today = services_of(request).reads.now().date()
        return page_at(today, _base(request)).response(request)


class _Packed:
    """A public document, compressed once instead of for each response."""

    def __init__(
        self, content: bytes, media_type: str, headers: dict[str, str], level: int = 9
    ) -> None:
        self._plain = content
        self._level = level
        self._media_type = media_type
        self._headers = {**headers, "Cache-Control": "no-store", "Vary": "Accept-Encoding"}

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self._plain, self._level)

    def response(self, request: Request) -> Response:
        """Return it as the client takes it."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**self._headers, "Content-Encoding": "gzip"}
            return Response(self._packed, headers=headers, media_type=self._media_type)
        return Response(self._plain, headers=self._headers, media_type=self._media_type)


def _base(request: Request) -> str:
    """Return where this server is, as the client asked for it: TLS ends before it."""
    base = str(request.base_url).rstrip("/")
    forwarded = request.headers.get("x-forwarded-proto", "")
    return base.replace("http://", "https://", 1) if forwarded == "https" else base
