"""The upload endpoints: a bench needs a token and no AWS key."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator_cli.api.guard.auth import Token
from orchestrator_cli.api.guard.middleware import TOKEN
from orchestrator_cli.api.routes.read_routes import LogName
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.api.services import services_of
from orchestrator_cli.api.upload_service import UploadService
from orchestrator_cli.core.gateway import messages, record_messages

router = APIRouter(prefix="/executions/{execution_id}/uploads", tags=["uploads"], responses=ERRORS)


async def _answer(
    request: Request, work: Callable[[UploadService, Token | None], BaseModel]
) -> Response:
    """Do the work in a thread, to its end even where the client leaves; answer what it returns."""
    services = services_of(request)
    token = cast("Token | None", request.scope.get(TOKEN))

    def encode() -> str:
        return work(services.uploads, token).model_dump_json()

    content = await services.workers.run(encode)
    return Response(content, 200, {"Cache-Control": "no-store"}, "application/json")


@router.get("", response_model=messages.UploadTerms)
async def get_upload_terms(request: Request, execution_id: Id) -> Response:
    """Return what a client has to know before it uploads to an execution."""
    return await _answer(request, lambda uploads, token: uploads.terms(execution_id, token))


@router.post("", response_model=messages.OfferFilesResponse)
async def offer_files(
    request: Request, execution_id: Id, asked: messages.OfferFilesRequest
) -> Response:
    """Say of each file whether it is stored already, and if not how to send it.

    It changes nothing, and can be repeated. A 412 to the PUT means that somebody else was
    first: ask again, to learn whether it was the same content.
    """
    return await _answer(
        request, lambda uploads, token: uploads.check_files(execution_id, token, asked)
    )


@router.post("/resolve", response_model=messages.ResolveResponse)
async def resolve_version(
    request: Request, execution_id: Id, asked: messages.ResolveRequest
) -> Response:
    """Say whether a file that was sent whole stays.

    Only to be asked where the answer to the PUT had an x-amz-version-id, and no checksum: such
    a storage may have let two pass that began at the same moment. The later is taken back.
    """
    return await _answer(
        request, lambda uploads, token: uploads.resolve(execution_id, token, asked)
    )


@router.post("/begun", response_model=record_messages.BegunResponse)
async def record_begun_upload(
    request: Request, execution_id: Id, asked: record_messages.BegunUpload
) -> Response:
    """Record that an upload begins, before its first file is sent.

    As long as no results say that it has ended, the execution is not complete: whoever uploads may
    have been killed. It can be repeated.
    """
    return await _answer(request, lambda uploads, token: uploads.begin(execution_id, token, asked))


@router.post("/results", response_model=record_messages.ResultsResponse)
async def record_results(
    request: Request, execution_id: Id, asked: record_messages.ResultsRequest
) -> Response:
    """Record how an upload ended: what failed, and what had failed and is stored now.

    To be asked at the end of each upload, with nothing to record too: of a finished execution
    it brings the manifest up to date. It can be repeated.
    """
    return await _answer(request, lambda uploads, token: uploads.record(execution_id, token, asked))


@router.put(
    "/index/{name}",
    response_model=messages.IndexResponse,
    openapi_extra={
        "requestBody": {
            "description": "The index as it is stored: packed JSON of this size and ETag.",
            "content": {"application/octet-stream": {}},
        }
    },
)
async def put_log_index(request: Request, execution_id: Id, name: LogName) -> Response:
    """Keep where lines and errors of a stored log are, unless that is known. It can be repeated.

    The pages find a line of a large log by it. Of what it says only its form is checked.
    """
    content = await request.body()
    return await _answer(
        request, lambda uploads, token: uploads.put_index(execution_id, token, name, content)
    )


@router.post("/multipart", response_model=messages.MultipartResponse)
async def create_multipart_upload(
    request: Request, execution_id: Id, asked: messages.MultipartRequest
) -> Response:
    """Begin a multipart upload of a large file, where no unfinished one can be resumed."""
    return await _answer(
        request, lambda uploads, token: uploads.create_multipart(execution_id, token, asked)
    )


@router.post("/multipart/parts", response_model=messages.PartsResponse)
async def offer_parts(request: Request, execution_id: Id, asked: messages.PartsRequest) -> Response:
    """Return a URL for each part of a large file. It can be repeated."""
    return await _answer(
        request, lambda uploads, token: uploads.presign_parts(execution_id, token, asked)
    )


@router.post("/multipart/complete", response_model=messages.CompleteResponse)
async def complete_multipart_upload(
    request: Request, execution_id: Id, asked: messages.CompleteRequest
) -> Response:
    """Make the file from its parts, only where nothing is stored under its name.

    A 404 or 409 means that somebody else ended the upload or took the name: offer the file
    again, to learn what is stored now.
    """
    return await _answer(
        request, lambda uploads, token: uploads.complete(execution_id, token, asked)
    )
