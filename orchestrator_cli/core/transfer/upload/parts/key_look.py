"""What must be known of a key before a large file is sent to it, looked up all at once."""

from __future__ import annotations

from functools import partial

from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.target import FoundUpload, UploadTarget


class KeyLook:
    """A look that is under way: what the key holds, and which unfinished uploads it has.

    Neither depends on the other, and a server may be far away.
    """

    def __init__(self, engine: TransferEngine, target: UploadTarget, key: str) -> None:
        run = engine.connection.run
        self._head = engine.run_request(partial(run, target.head_for_compare(key)))
        self._uploads = engine.run_request(partial(run, target.find_incomplete_uploads(key)))

    def head(self) -> ObjectMetadata | None:
        """Wait for the response, and return what is stored; None where the key is free."""
        return self._head.result()

    def uploads(self) -> list[FoundUpload]:
        """Wait for the response, and return the unfinished uploads, the fullest first."""
        return self._uploads.result()
