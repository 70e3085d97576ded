"""The session with the bucket or a server that the options of `upload` ask for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.upload.options import UploadOptions
from orchestrator_cli.cli.options import is_preset_id

if TYPE_CHECKING:
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession


def open_session(app: App, options: UploadOptions, text: str) -> UploadSession:
    """Return a session for the execution that `text` selects."""
    if options.via is None:
        from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession

        store = app.store(options.concurrency, options.limit_rate)
        return DirectSession(store, app.resolve_id(text, store))
    from orchestrator_cli.core.gateway.client.source import GatewaySource
    from orchestrator_cli.core.gateway.client.uploads.session import GatewaySession

    connection = app.gateway(options.via, options.concurrency, options.limit_rate)
    return GatewaySession(connection, app.resolve(text, GatewaySource(connection)))


def wait_if_new_at(app: App, session: UploadSession) -> datetime | None:
    """Return the present where the execution may be in the making, as in `run`; else None."""
    return app.now() if is_preset_id(session.execution_id) else None
