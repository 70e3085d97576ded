"""orchestrator-layout(7): the text of layout.md with constants and fields of the code."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator_cli.core.base.quantities import KIB, MIB
from orchestrator_cli.core.executions import keys as layout
from orchestrator_cli.core.executions import placement
from orchestrator_cli.core.executions.logs.index import (
    INDEX_VERSION,
    MAX_ERROR_LINES,
    POINT_BYTES,
    TAIL_BYTES,
)
from orchestrator_cli.core.executions.record.manifest import NO_CHECKSUM
from orchestrator_cli.core.executions.record.metadata import (
    SCHEMA_VERSION,
    Artifact,
    ArtifactStatus,
    ExecutionMetadata,
    Result,
    RunDetails,
    RunnerType,
    Status,
)
from orchestrator_cli.core.executions.record.status_probe import MAX_METADATA_BYTES
from orchestrator_cli.core.executions.record.upload_mark import MAX_PATHS
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES
from orchestrator_cli.core.live.state import HEARTBEAT_SECONDS
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy
from orchestrator_cli.core.s3 import compare
from orchestrator_cli.core.s3 import part_plan as parts
from orchestrator_cli.core.s3.operations.put import MD5_PAYS_BYTES
from orchestrator_cli.docgen.manpages import LAYOUT_PAGE
from orchestrator_cli.docgen.pages.template import join_codes, render_manpage
from orchestrator_cli.runner.run_record import MAX_COMMAND_CHARACTERS

_ARTIFACT_STATUS = {
    ArtifactStatus.PENDING: "more may come: the execution is not finished, an upload to it has "
    "begun and not ended, or it is an `onprem` execution whose EFS tree is not stored yet",
    ArtifactStatus.COMPLETE: "the execution is finished, and every file that anyone tried to store "
    "for it is stored",
    ArtifactStatus.ARTIFACT_ERROR: "a file could not be stored, also while the execution runs; "
    "`failures` says which and why",
}


def _either(names: Iterable[str], or_null: bool = False) -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join([*first, last])} or null" if or_null else f"{', '.join(first)} or {last}"


METADATA_FIELDS = {
    "schema_version": f"Integer. The version of this record, {SCHEMA_VERSION}.",
    "execution_id": "ULID. The same as in the key.",
    "reservation_id": "String or null. The reservation that the execution ran under.",
    "runner_type": f"{_either(RunnerType, or_null=True)}. Where it ran.",
    "bench_id": "String or null. The bench it ran on; for `onprem` only.",
    "test_suite": "String or null. What was run.",
    "result": f"{_either(Result, or_null=True)}. Null until the execution is finished; "
    f"`{Result.ERROR}`: the test could not be run to its end.",
    "status": f"{_either(Status)}: whether the execution is finished.",
    "artifact_status": f"{_either(ArtifactStatus)}. "
    + " ".join(f"`{status}`: {_ARTIFACT_STATUS[status]}." for status in ArtifactStatus),
    "started_at": "Time or null.",
    "ended_at": "Time or null; not before `started_at`.",
    "artifact_count": "Integer. The number of files in the manifest; 0 until the execution is "
    "finished.",
    "artifact_bytes": "Integer. The size of all of them together.",
    "manifest_sha256": "64 hexadecimal digits or null. SHA-256 over one line "
    "`path size checksum` for each file, sorted by the bytes of the path, each ended by a newline; "
    f"a missing checksum is written `{NO_CHECKSUM}`.",
    "artifacts": "List or null: the manifest, written when the execution finishes and extended by "
    "later uploads. Null before that, and where it would take `metadata.json` over "
    f"{MAX_METADATA_BYTES // KIB} KiB; the listing is the truth anyway, and the three fields "
    "above always speak of the whole.",
    "failures": "List of objects with `path` and `error`: what could not be stored, and why; as "
    "many as there is room for.",
    "unfinished_uploads": "List of objects with `upload_id`, `began_at`, `paths`, `more` and "
    "`selection`: uploads that have begun and not ended, so that a killed one leaves a trace. "
    f"`paths` names their files, at most {MAX_PATHS}; `more` says that there are others. An entry "
    "goes when its upload ends, when a later one has stored the same files, and, where `more` is "
    "false, when the execution is finished and all its paths are stored.",
    "tree_stored": "Boolean. Of an on-prem execution: whether its EFS tree was stored in whole.",
    "labels": "Object of strings.",
    "run": "Object or null: how `orchestrator run` ran the command, where it did.",
}
RUN_FIELDS = {
    "command": "List of strings: the command and its arguments, cut after "
    f"{MAX_COMMAND_CHARACTERS:,} characters. Secrets in it are replaced by `…`, and its "
    "environment is never stored.",
    "host": "String. The name of the host.",
    "pid": "Integer. The process id of the runner.",
    "tool_version": "String. The version of orchestrator.",
    "started_at": "Time. When the runner began.",
    "ended_at": "Time or null. When the command itself ended.",
    "duration_seconds": "Number or null. From the start of the command to its end.",
    "exit_code": "Integer or null: what `orchestrator run` exited with. 128+n after signal n, 124 "
    "where its time was over, 127 where it was not found, 126 where it could not be run.",
    "signal": "String or null. The signal that killed the command, as `SIGKILL`.",
    "timed_out": "Boolean. Whether `--timeout` ended it.",
    "summary": "String or null. What happened, in a few words.",
}
ARTIFACT_FIELDS = {
    "path": "String, relative to the execution.",
    "size_bytes": "Integer.",
    "checksum": "String, in a form described under Checksums; null where another tool stored the "
    "object in a way that leaves nothing to compute again.",
    "content_type": "String, the media type.",
}


def render_layout_page(version: str) -> str:
    """Return the page. Raises ValueError where the text and the record's fields differ."""
    _check_fields(METADATA_FIELDS, ExecutionMetadata)
    _check_fields(ARTIFACT_FIELDS, Artifact)
    _check_fields(RUN_FIELDS, RunDetails)
    return render_manpage(LAYOUT_PAGE, "layout.md", _values(), version)


def _check_fields(
    described: dict[str, str], model: type[ExecutionMetadata | Artifact | RunDetails]
) -> None:
    if set(described) != set(model.model_fields):
        different = sorted(set(described) ^ set(model.model_fields))
        raise ValueError(f"docgen/pages/layout.py does not describe {model.__name__}: {different}")


def _values() -> dict[str, str]:
    return {
        "artifact_fields": _definitions(ARTIFACT_FIELDS),
        "base_part_bytes": f"{parts.BASE_PART_BYTES:,}",
        "doubling": parts.DOUBLING,
        "heartbeat": f"{HEARTBEAT_SECONDS:g}",
        "index_version": str(INDEX_VERSION),
        "folders": join_codes(f"{name}/" for name in layout.FOLDERS),
        "image_suffixes": join_codes(sorted(placement.IMAGE_SUFFIXES)),
        "log_names": join_codes(layout.LOG_NAMES),
        "live_days": str(RetentionPolicy().live_days),
        "max_error_lines": f"{MAX_ERROR_LINES:,}",
        "max_key_bytes": f"{layout.MAX_KEY_BYTES:,}",
        "max_parts": f"{parts.MAX_PARTS:,}",
        "max_segment": f"{MAX_SEGMENT_BYTES // MIB} MiB",
        "max_stream_bytes": f"{parts.MAX_STREAM_BYTES:,}",
        "md5_pays_kib": str(MD5_PAYS_BYTES // KIB),
        "metadata_fields": _definitions(METADATA_FIELDS),
        "offset_digits": str(len(str(layout.MAX_LIVE_OFFSET))),
        "parts_per_size": f"{parts.PARTS_PER_SIZE:,}",
        "point": f"{POINT_BYTES // MIB} MiB",
        "result_names": join_codes(layout.RESULT_NAMES),
        "run_fields": _definitions(RUN_FIELDS),
        "schedule_metadata": compare.SCHEDULE_METADATA,
        "sha256_metadata": compare.SHA256_METADATA,
        "tail": f"{TAIL_BYTES // KIB} KiB",
        "trace_suffixes": join_codes(sorted(placement.TRACE_SUFFIXES)),
    }


def _definitions(entries: dict[str, str]) -> str:
    return "\n\n".join(f"`{name}`\n:   {text}" for name, text in entries.items())
