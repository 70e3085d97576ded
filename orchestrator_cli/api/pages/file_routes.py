"""The route of stored files that a browser opens, isolated from the pages and the API.

A file left by a test is not trusted. The `sandbox` policy gives it an opaque origin, so scripts in
it cannot use the login or read the pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from orchestrator_cli.api.guard.middleware import TOKENS
from orchestrator_cli.api.guard.security_headers import STORED_FILE_POLICY
from orchestrator_cli.api.pages.signed_links import check_files
from orchestrator_cli.api.services import Services, services_of
from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.s3.types import ObjectMetadata

router = APIRouter(include_in_schema=False)
_READ_BYTES = MIB


@router.get("/a/{signed}/{path:path}")
async def get_file(request: Request, signed: str, path: str) -> Response:
    """Return a stored file by a signed link."""
    services = services_of(request)
    key = request.scope[TOKENS].signing_key()
    execution_id = check_files(signed, services.reads.now(), key)
    if execution_id is None:
        return Response("This link has expired. Open the execution's page again.", 403)
    head, first = await services.workers.run_read(lambda: _open(services, execution_id, path))
    headers = {
        "Content-Length": str(head.size_bytes),
        "Content-Security-Policy": STORED_FILE_POLICY,
        # Keeps the gzip middleware away: most large files are compressed already.
        "Content-Encoding": "identity",
        "Cache-Control": "private, max-age=21600, immutable",
        # A report has an opaque origin, and has to be able to read its own data files. Whoever has
        # the link may read them anyway.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    content = _iter_content(services, head, first)
    return StreamingResponse(content, headers=headers, media_type=content_type_of(path))


def _open(services: Services, execution_id: str, path: str) -> tuple[ObjectMetadata, bytes]:
    try:
        key = artifact_key(execution_id, path)
    except UsageError as error:
        raise NotFoundError(f"no such file in {execution_id}") from error
    head, first = services.reads.store.get_prefix(key, _READ_BYTES)
    return head, bytes(first)


async def _iter_content(
    services: Services, head: ObjectMetadata, first: bytes
) -> AsyncIterator[bytes]:
    yield first
    get_range = partial(services.reads.store.get_range, head.key, object_bytes=head.size_bytes)
    for offset in range(len(first), head.size_bytes, _READ_BYTES):
        length = min(_READ_BYTES, head.size_bytes - offset)
        yield bytes(await services.workers.run_read(partial(get_range, offset, length)))
