"""orchestrator-api(7): the text of api.md with constants of the code."""

from __future__ import annotations

from orchestrator_cli.api.guard import limits as guard
from orchestrator_cli.api.pages.signed_links import LINK_SECONDS
from orchestrator_cli.api.readiness import FRESH_SECONDS
from orchestrator_cli.api.upload_service import MAX_INDEX_DELAY
from orchestrator_cli.api.worker_pool import WAITING_A_THREAD
from orchestrator_cli.core.base.quantities import KIB, MIB
from orchestrator_cli.core.executions.keys import MAX_METADATA_READ_BYTES
from orchestrator_cli.core.executions.logs.index import TAIL_BYTES
from orchestrator_cli.core.gateway import limits as gateway
from orchestrator_cli.core.live.state import LOST_AFTER_SECONDS
from orchestrator_cli.core.s3 import part_plan as parts
from orchestrator_cli.docgen.manpages import API_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage


def render_api_page(version: str) -> str:
    """Return the page."""
    values = {
        "base_part_bytes": f"{parts.BASE_PART_BYTES:,}",
        "doubling": f"`{parts.DOUBLING}`",
        "lost_minutes": f"{LOST_AFTER_SECONDS / 60:g}",
        "index_hours": f"{MAX_INDEX_DELAY.total_seconds() / 3600:g}",
        "link_hours": f"{LINK_SECONDS / 3600:g}",
        "longest_link_hours": f"{2 * LINK_SECONDS / 3600:g}",
        "max_body_bytes": f"{guard.MAX_BODY_BYTES:,}",
        "max_changes": f"{gateway.MAX_CHANGES:,}",
        "max_files": f"{gateway.MAX_FILES:,}",
        "max_header_bytes": f"{guard.MAX_HEADER_BYTES:,}",
        "max_metadata": f"{MAX_METADATA_READ_BYTES // MIB} MiB",
        "max_parts": f"{gateway.MAX_PART_OFFERS:,}",
        "max_target_bytes": f"{guard.MAX_TARGET_BYTES:,}",
        "max_wait": str(gateway.MAX_WAIT_SECONDS),
        "parts_per_size": f"{parts.PARTS_PER_SIZE:,}",
        "ready_seconds": f"{FRESH_SECONDS:g}",
        "request_seconds": f"{guard.HEAD_SECONDS:g}",
        "send_kib": str(guard.SEND_BYTES // KIB),
        "send_seconds": f"{guard.SEND_SECONDS:g}",
        "tail": f"{TAIL_BYTES // KIB} KiB",
        "waiting": str(WAITING_A_THREAD),
    }
    return render_manpage(API_PAGE, "api.md", values, version)
