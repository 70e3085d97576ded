"""The manual page of the HTTP API: the text of api.md with the code's own constants."""

from __future__ import annotations

from orchestrator_cli.api import middleware as guard
from orchestrator_cli.api import server
from orchestrator_cli.api import slow_client_protocol as protocol
from orchestrator_cli.api import upload_schemas as upload_models
from orchestrator_cli.core.s3 import part_plan as parts
from orchestrator_cli.docgen.layout_page import render_page
from orchestrator_cli.docgen.manpages import API_PAGE


def render_api_page(version: str) -> str:
    """Return the page."""
    values = {
        "base_part_bytes": f"{parts.BASE_PART_BYTES:,}",
        "doubling": f"`{parts.DOUBLING}`",
        "max_body_bytes": f"{guard.MAX_BODY_BYTES:,}",
        "max_changes": f"{upload_models.MAX_CHANGES:,}",
        "max_connections": str(server.MAX_CONNECTIONS),
        "max_files": f"{upload_models.MAX_FILES:,}",
        "max_header_bytes": f"{guard.MAX_HEADER_BYTES:,}",
        "max_parts": f"{upload_models.MAX_PART_OFFERS:,}",
        "max_target_bytes": f"{guard.MAX_TARGET_BYTES:,}",
        "parts_per_size": f"{parts.PARTS_PER_SIZE:,}",
        "request_seconds": str(protocol.REQUEST_SECONDS),
        "taken_kib": str(protocol.LEAST_TAKEN_BYTES // 1024),
    }
    return render_page(API_PAGE, "api.md", values, version)
