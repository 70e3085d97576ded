"""The session with the bucket or a server that the options of `upload` ask for."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.upload.options import UploadOptions
from orchestrator_cli.cli.options import is_preset_id

if TYPE_CHECKING:
    from orchestrator_cli.core.transfer.upload.on_record.begun_upload import BegunUpload
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession


def open_session(
    app: App, options: UploadOptions, text: str, execution_id: str | None = None
) -> UploadSession:
    """Return a session for the execution that `text` selects.

    With its id it is another session for when something has ended the first one: nobody waits for
    a second try then.
    """
    if options.via is None:
        from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession

        store = app.store(options.concurrency, options.limit_rate, retries=execution_id is None)
        return DirectSession(store, execution_id or app.resolve_id(text, store))
    from orchestrator_cli.core.gateway.client.source import GatewaySource
    from orchestrator_cli.core.gateway.client.uploads.session import GatewaySession

    connection = app.gateway(options.via, options.concurrency, options.limit_rate)
    resolved = execution_id or app.resolve(text, GatewaySource(connection))
    return GatewaySession(connection, resolved)


def begin_upload(app: App, selection: str = "") -> BegunUpload:
    """Return an upload that begins now, with an id of its own."""
    from orchestrator_cli.core.transfer.upload.on_record.begun_upload import BegunUpload

    return BegunUpload(os.urandom(8).hex(), app.now(), selection)


def wait_since(app: App, session: UploadSession) -> datetime | None:
    """Return from when on to wait for an execution that may be in the making; None for no wait."""
    return app.now() if is_preset_id(session.execution_id) else None
