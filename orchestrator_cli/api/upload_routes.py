"""The upload endpoints: a bench needs a token and no AWS key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Request
from starlette.responses import Response

from orchestrator_cli.api import upload_schemas as models
from orchestrator_cli.api.auth import Token
from orchestrator_cli.api.json import json_answer
from orchestrator_cli.api.middleware import TOKEN
from orchestrator_cli.api.schemas import Id
from orchestrator_cli.api.upload_service import UploadService
from orchestrator_cli.api.worker_pool import BoundedWorkerPool

_BASE = "/executions/{execution_id}/uploads"


Answer = Callable[[Callable[[], dict[str, Any]]], Awaitable[Response]]


def add_uploads(
    app: FastAPI,
    uploads: UploadService,
    workers: BoundedWorkerPool,
    errors: dict[int | str, dict[str, Any]],
) -> None:
    """Add the endpoints."""

    async def answer(work: Callable[[], dict[str, Any]]) -> Response:
        return json_answer(await workers.run(work))

    common: dict[str, Any] = {"tags": ["uploads"], "responses": errors}
    _add_files(app, uploads, answer, common)
    _add_large_files(app, uploads, answer, common)


def _add_files(
    app: FastAPI, uploads: UploadService, answer: Answer, common: dict[str, Any]
) -> None:
    @app.get(_BASE, response_model=models.Terms, **common)
    async def get_upload_terms(request: Request, execution_id: Id) -> Response:
        """Return what a client has to know before it uploads to an execution."""
        return await answer(lambda: uploads.terms(execution_id, _token(request)))

    @app.post(_BASE, response_model=models.LookAnswer, **common)
    async def offer_files(
        request: Request, execution_id: Id, asked: models.LookRequest
    ) -> Response:
        """Say of each file whether it is stored already, and if not how to send it.

        It changes nothing, and can be repeated. A 412 to the PUT means that somebody else was
        first: ask again, to learn whether it was the same content.
        """
        return await answer(lambda: uploads.look(execution_id, _token(request), asked))

    @app.post(f"{_BASE}/settle", response_model=models.SettleAnswer, **common)
    async def settle_file(
        request: Request, execution_id: Id, asked: models.SettleRequest
    ) -> Response:
        """Say whether a file that was sent whole stays.

        Only to be asked where the answer to the PUT had an x-amz-version-id, and no checksum: such
        a storage may have let two pass that began at the same moment. The later is taken back.
        """
        return await answer(lambda: uploads.settle(execution_id, _token(request), asked))

    @app.post(f"{_BASE}/record", response_model=models.RecordAnswer, **common)
    async def record_uploads(
        request: Request, execution_id: Id, asked: models.RecordRequest
    ) -> Response:
        """Note how an upload ended: what failed, and what had failed and is stored now.

        To be asked at the end of each upload, with nothing to note too: of a finished execution
        it brings the manifest up to date. It can be repeated.
        """
        return await answer(lambda: uploads.record(execution_id, _token(request), asked))


def _add_large_files(
    app: FastAPI, uploads: UploadService, answer: Answer, common: dict[str, Any]
) -> None:
    @app.post(f"{_BASE}/begin", response_model=models.BeginAnswer, **common)
    async def begin_large_file(
        request: Request, execution_id: Id, asked: models.BeginRequest
    ) -> Response:
        """Begin to store a large file by parts, where no unfinished upload can be gone on with."""
        return await answer(lambda: uploads.begin(execution_id, _token(request), asked))

    @app.post(f"{_BASE}/parts", response_model=models.PartsAnswer, **common)
    async def offer_parts(
        request: Request, execution_id: Id, asked: models.PartsRequest
    ) -> Response:
        """Return a URL for each part of a large file. It can be repeated."""
        return await answer(lambda: uploads.parts(execution_id, _token(request), asked))

    @app.post(f"{_BASE}/complete", response_model=models.CompleteAnswer, **common)
    async def complete_large_file(
        request: Request, execution_id: Id, asked: models.CompleteRequest
    ) -> Response:
        """Make the file from its parts, only where nothing is stored under its name.

        A 404 or 409 means that somebody else ended the upload or took the name: offer the file
        again, to learn what is stored now.
        """
        return await answer(lambda: uploads.complete(execution_id, _token(request), asked))


def _token(request: Request) -> Token | None:
    return cast("Token | None", request.scope.get(TOKEN))
