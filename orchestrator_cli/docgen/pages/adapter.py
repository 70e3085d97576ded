"""orchestrator-bench-adapter(7): the text of adapter.md with constants of the code."""

from __future__ import annotations

from orchestrator_cli.cli.options import DEFAULT_ROOT
from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.executions.keys import LOG_NAMES
from orchestrator_cli.docgen.manpages import ADAPTER_PAGE
from orchestrator_cli.docgen.pages.template import join_codes, render_manpage


def render_adapter_page(version: str) -> str:
    """Return the page."""
    rules = SyncRules()
    values = {
        "log_names": join_codes(LOG_NAMES),
        "log_settle": f"{rules.log_settle.total_seconds() / 3600:g} h",
        "retain": f"{rules.retain.days if rules.retain else 0} days",
        "root": DEFAULT_ROOT,
        "settle": f"{rules.settle.total_seconds():g} s",
    }
    return render_manpage(ADAPTER_PAGE, "adapter.md", values, version)
