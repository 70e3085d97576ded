"""The manual page of the HTTP API: the text of api.md with the code's own constants."""

from __future__ import annotations

from orchestrator_cli.api import server
from orchestrator_cli.api.guard import exchange, request_checks
from orchestrator_cli.core.gateway import messages, record_messages
from orchestrator_cli.core.s3 import part_plan as parts
from orchestrator_cli.docgen.manpages import API_PAGE
from orchestrator_cli.docgen.pages.template import render_page


def render_api_page(version: str) -> str:
    """Return the page."""
    values = {
        "base_part_bytes": f"{parts.BASE_PART_BYTES:,}",
        "doubling": f"`{parts.DOUBLING}`",
        "max_body_bytes": f"{exchange.MAX_BODY_BYTES:,}",
        "max_changes": f"{record_messages.MAX_CHANGES:,}",
        "max_files": f"{messages.MAX_FILES:,}",
        "max_header_bytes": f"{request_checks.MAX_HEADER_BYTES:,}",
        "max_parts": f"{messages.MAX_PART_OFFERS:,}",
        "max_target_bytes": f"{request_checks.MAX_TARGET_BYTES:,}",
        "parts_per_size": f"{parts.PARTS_PER_SIZE:,}",
        "request_seconds": f"{server.HEAD_SECONDS:g}",
        "send_kib": str(exchange.SEND_BYTES // 1024),
        "send_seconds": f"{exchange.SEND_SECONDS:g}",
    }
    return render_page(API_PAGE, "api.md", values, version)
