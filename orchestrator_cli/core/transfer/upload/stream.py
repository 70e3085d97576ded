"""Store one stream, such as standard input, and what can be told of it while it passes by."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.log_indexing import LogIndexing
from orchestrator_cli.core.transfer.upload.parts.arrivals import Arrivals
from orchestrator_cli.core.transfer.upload.parts.part_checksums import unwatched
from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream
from orchestrator_cli.core.transfer.upload.parts.stream_upload import StreamUpload
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.target import UploadTarget
from orchestrator_cli.core.transfer.upload.uploader import done, failed


def upload_stream(
    engine: TransferEngine,
    target: UploadTarget,
    item: PlannedFile,
    stream: BinaryStream,
    arrivals: Arrivals | None = None,
) -> UploadResult:
    """Store a stream under the item's key; what can fail alone is in the result.

    `arrivals` is what an earlier attempt has seen of when its bytes arrived.
    """
    arrivals = arrivals or Arrivals()
    indexing = LogIndexing.of(target, item.key)
    watch = indexing.watch if indexing else unwatched
    upload = StreamUpload(engine, target, item.key, item.content_type, watch)
    try:
        outcome, checksum = upload.run(arrivals.watch(stream))
    except OrchestratorError as error:
        if error.is_fatal:
            engine.observer.failed(error)
            raise
        result = failed(item, error, upload.session.count)
    else:
        result = done(item, upload.size_bytes, outcome, checksum, upload.session.count)
    engine.observer.uploaded(result, None)
    if indexing is not None and result.outcome is PutOutcome.CREATED:
        indexing.log, indexing.times_ms = upload.session.completed, arrivals.times_ms
        indexing.store_at_once(engine)
    return result
