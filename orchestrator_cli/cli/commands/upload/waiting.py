"""Whether an upload waits for its execution to be made."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.options import is_preset_id

if TYPE_CHECKING:
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession


def wait_if_new_at(app: App, session: UploadSession) -> datetime | None:
    """Return the present where the execution may be in the making, as in `run`; else None."""
    return app.now() if is_preset_id(session.execution_id) else None
