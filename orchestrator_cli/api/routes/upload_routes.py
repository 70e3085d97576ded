"""The endpoints through which a client without AWS credentials uploads files."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from orchestrator_cli.api.routes.read_routes import LogName
from orchestrator_cli.api.routes.upload_response import respond
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.core.gateway.messages import record as record_messages
from orchestrator_cli.core.gateway.messages import uploads as messages

router = APIRouter(prefix="/executions/{execution_id}/uploads", tags=["uploads"], responses=ERRORS)


@router.get("", response_model=messages.UploadTerms)
async def get_upload_terms(request: Request, execution_id: Id) -> Response:
    """Return what a client needs to know before it uploads to an execution."""
    return await respond(
        request, lambda services, token: services.uploads.terms(execution_id, token)
    )


@router.post("", response_model=messages.OfferFilesResponse)
async def offer_files(
    request: Request, execution_id: Id, message: messages.OfferFilesRequest
) -> Response:
    """Return for each file whether it is stored already and, if not, how to upload it.

    The request changes nothing and can be repeated. If the PUT of a file returns 412, another
    client was first: offer the file again, to learn whether it stored the same content.
    """
    return await respond(
        request, lambda services, token: services.uploads.check_files(execution_id, token, message)
    )


@router.post("/resolve", response_model=messages.ResolveResponse)
async def resolve_version(
    request: Request, execution_id: Id, message: messages.ResolveRequest
) -> Response:
    """Resolve a conflict of two versions of a file that was uploaded in one request.

    Needed only if the response to the PUT had an `x-amz-version-id` and no checksum: such a storage
    ignores `If-None-Match`, and two uploads at the same moment may both have succeeded. The later
    version is deleted.
    """
    return await respond(
        request, lambda services, token: services.uploads.resolve(execution_id, token, message)
    )


@router.post("/begun", response_model=record_messages.BegunResponse)
async def record_begun_upload(
    request: Request, execution_id: Id, message: record_messages.BegunRequest
) -> Response:
    """Record that an upload begins, before its first file is sent.

    Until `results` names the upload in `ended`, the execution is not complete, because the client
    may have been killed. The request can be repeated.
    """
    return await respond(
        request, lambda services, token: services.uploads.begin(execution_id, token, message)
    )


@router.post("/results", response_model=record_messages.ResultsResponse)
async def record_results(
    request: Request, execution_id: Id, message: record_messages.ResultsRequest
) -> Response:
    """Record the results of an upload: files that failed, and failed files that are stored now.

    Send it at the end of each upload, even without such files: it also updates the manifest of a
    finished execution. The request can be repeated.
    """
    return await respond(
        request, lambda services, token: services.uploads.record(execution_id, token, message)
    )


@router.put(
    "/index/{name}",
    response_model=messages.IndexResponse,
    openapi_extra={
        "requestBody": {
            "description": "The index as it is stored: JSON compressed with gzip, with the size "
            "and ETag of the log.",
            "content": {"application/octet-stream": {}},
        }
    },
)
async def put_log_index(request: Request, execution_id: Id, name: LogName) -> Response:
    """Store the index of a log, which says where its lines and errors are, unless it has one.

    The pages use it to find a line of a large log. Only its form is checked. The request can be
    repeated.
    """
    content = await request.body()
    return await respond(
        request,
        lambda services, token: services.uploads.put_index(execution_id, token, name, content),
    )


@router.post("/multipart", response_model=messages.MultipartResponse)
async def create_multipart_upload(
    request: Request, execution_id: Id, message: messages.MultipartRequest
) -> Response:
    """Begin a multipart upload of a large file, if no unfinished one can be resumed."""
    return await respond(
        request,
        lambda services, token: services.uploads.create_multipart(execution_id, token, message),
    )


@router.post("/multipart/parts", response_model=messages.PartsResponse)
async def offer_parts(
    request: Request, execution_id: Id, message: messages.PartsRequest
) -> Response:
    """Return a URL for each part of a large file. The request can be repeated."""
    return await respond(
        request,
        lambda services, token: services.uploads.presign_parts(execution_id, token, message),
    )


@router.post("/multipart/complete", response_model=messages.CompleteResponse)
async def complete_multipart_upload(
    request: Request, execution_id: Id, message: messages.CompleteRequest
) -> Response:
    """Complete a multipart upload, if nothing is stored under the file's name.

    A 404 or 409 means that another client has ended the upload or stored a file under this name:
    offer the file again, to learn what is stored now.
    """
    return await respond(
        request, lambda services, token: services.uploads.complete(execution_id, token, message)
    )
