"""orchestrator-deployment(7): the text of deploy.md with constants of the code."""

from __future__ import annotations

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.watch import LONGEST_PAUSE_FACTOR
from orchestrator_cli.core.executions.keys import LOG_NAMES
from orchestrator_cli.docgen.manpages import DEPLOY_PAGE
from orchestrator_cli.docgen.pages.template import join_codes, render_manpage
from orchestrator_cli.infrastructure.runners import eks, pods
from orchestrator_cli.infrastructure.serving import nginx


def render_deploy_page(version: str) -> str:
    """Return the page."""
    rules = SyncRules()
    retain = rules.retain
    values = {
        "burst": str(nginx.BURST),
        "connections": str(nginx.CONNECTIONS),
        "log_names": join_codes(LOG_NAMES),
        "log_settle": f"{rules.log_settle.total_seconds() / 3600:g} h",
        "grace": str(eks.GRACE_SECONDS),
        "keep_finished": f"{eks.KEEP_FINISHED_SECONDS // 3600} hours",
        "longest_pause": str(LONGEST_PAUSE_FACTOR),
        "requests": str(nginx.REQUESTS_A_SECOND),
        "user_id": str(pods.USER_ID),
        "retain": f"{retain.days if retain else 0} days",
    }
    return render_manpage(DEPLOY_PAGE, "deploy.md", values, version)
