"""orchestrator-api(7): the text of api.md with constants of the code."""

from __future__ import annotations

from orchestrator_cli.api.guard import limits as guard
from orchestrator_cli.core.gateway import limits as gateway
from orchestrator_cli.core.s3 import part_plan as parts
from orchestrator_cli.docgen.manpages import API_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage


def render_api_page(version: str) -> str:
    """Return the page."""
    values = {
        "base_part_bytes": f"{parts.BASE_PART_BYTES:,}",
        "doubling": f"`{parts.DOUBLING}`",
        "max_body_bytes": f"{guard.MAX_BODY_BYTES:,}",
        "max_changes": f"{gateway.MAX_CHANGES:,}",
        "max_files": f"{gateway.MAX_FILES:,}",
        "max_header_bytes": f"{guard.MAX_HEADER_BYTES:,}",
        "max_parts": f"{gateway.MAX_PART_OFFERS:,}",
        "max_target_bytes": f"{guard.MAX_TARGET_BYTES:,}",
        "parts_per_size": f"{parts.PARTS_PER_SIZE:,}",
        "request_seconds": f"{guard.HEAD_SECONDS:g}",
        "send_kib": str(guard.SEND_BYTES // 1024),
        "send_seconds": f"{guard.SEND_SECONDS:g}",
    }
    return render_manpage(API_PAGE, "api.md", values, version)
