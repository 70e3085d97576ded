"""Keeps what test executions leave behind in S3: write-once, verified, resumable.

These names are the library's public face; everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import (
        AccessError,
        ArchivedError,
        ConflictError,
        IntegrityError,
        NotFoundError,
        OrchestratorError,
        UnavailableError,
        UsageError,
    )
    from orchestrator_cli.core.executions.filters import ExecutionFilter
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.download.downloader import DownloadSummary
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary
    from orchestrator_cli.library.bucket import Bucket, open_bucket
    from orchestrator_cli.library.execution import Execution, Link, StoredFile

__version__ = "0.1.0"

_ERRORS = "orchestrator_cli.core.base.errors"
_MODULES = {
    "AccessError": _ERRORS,
    "ArchivedError": _ERRORS,
    "Bucket": "orchestrator_cli.library.bucket",
    "ConflictError": _ERRORS,
    "DownloadSummary": "orchestrator_cli.core.transfer.download.downloader",
    "Execution": "orchestrator_cli.library.execution",
    "ExecutionFilter": "orchestrator_cli.core.executions.filters",
    "ExecutionMetadata": "orchestrator_cli.core.executions.record.metadata",
    "IntegrityError": _ERRORS,
    "Link": "orchestrator_cli.library.execution",
    "NotFoundError": _ERRORS,
    "OrchestratorError": _ERRORS,
    "StoredFile": "orchestrator_cli.library.execution",
    "UnavailableError": _ERRORS,
    "UploadResult": "orchestrator_cli.core.s3.types",
    "UploadSummary": "orchestrator_cli.core.transfer.upload.uploader",
    "UsageError": _ERRORS,
    "open_bucket": "orchestrator_cli.library.bucket",
}

__all__ = [
    "AccessError",
    "ArchivedError",
    "Bucket",
    "ConflictError",
    "DownloadSummary",
    "Execution",
    "ExecutionFilter",
    "ExecutionMetadata",
    "IntegrityError",
    "Link",
    "NotFoundError",
    "OrchestratorError",
    "StoredFile",
    "UnavailableError",
    "UploadResult",
    "UploadSummary",
    "UsageError",
    "open_bucket",
]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line starts without them.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)
