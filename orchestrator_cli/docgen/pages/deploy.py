"""orchestrator-deployment(7): the text of deploy.md with constants of the code."""

from __future__ import annotations

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.docgen.manpages import DEPLOY_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage
from orchestrator_cli.infrastructure.runners import eks, pods


def render_deploy_page(version: str) -> str:
    """Return the page."""
    rules = SyncRules()
    retain = rules.retain
    values = {
        "log_settle": f"{rules.log_settle.total_seconds() / 3600:g} h",
        "grace": str(eks.GRACE_SECONDS),
        "keep_finished": f"{eks.KEEP_FINISHED_SECONDS // 3600} hours",
        "user_id": str(pods.USER_ID),
        "retain": f"{retain.days if retain else 0} days",
    }
    return render_manpage(DEPLOY_PAGE, "deploy.md", values, version)
