"""Decide where a file goes in an execution, by its path relative to the upload's root."""

from __future__ import annotations

from orchestrator_cli.core.executions.keys import (
    FOLDERS,
    LOG_NAMES,
    RESULT_NAMES,
    UnstorablePathError,
    file_suffix,
    invalid_path_reason,
)

IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .gif .bmp .webp .svg .tif .tiff .avif .heic .ico .ppm "
    ".mp4 .webm .mov .mkv .avi .m4v .mpg .mpeg .ogv".split()
)
TRACE_SUFFIXES = frozenset(
    ".pcap .pcapng .cap .trace .perfetto-trace .pftrace .ftrace .ctf .vcd .fst .blf .asc .mf4 "
    ".mdf .etl .tracev3 .systrace .nettrace .otf2 .har".split()
)


def storage_path_for(relative: str) -> str:
    """Return the storage path of a file from its path relative to the upload's root.

    Raises UsageError for a path that cannot be stored.
    """
    problem = invalid_path_reason(relative)
    if problem is not None:
        raise UnstorablePathError(relative, problem)
    head, _, rest = relative.partition("/")
    if not rest:
        return _place_top_level(relative)
    if head == "logs" and rest in LOG_NAMES:
        return relative
    if head == "artifacts" and _is_artifact_place(rest):
        return relative
    if head in FOLDERS:
        return f"artifacts/{relative}"
    return _place_by_type(relative)


def log_storage_path(name: str) -> str | None:
    """Return the path of a log from its name: `stdout`, `stdout.log` or `logs/stdout.log`."""
    candidate = name.removeprefix("logs/").removesuffix(".log") + ".log"
    return f"logs/{candidate}" if candidate in LOG_NAMES else None


def _place_top_level(name: str) -> str:
    if name in LOG_NAMES:
        return f"logs/{name}"
    if name in RESULT_NAMES:
        return f"artifacts/{name}"
    return _place_by_type(name)


def _is_artifact_place(rest: str) -> bool:
    folder, _, inside = rest.partition("/")
    return rest in RESULT_NAMES or (folder in FOLDERS and inside != "")


def _place_by_type(relative: str) -> str:
    suffix = file_suffix(relative)
    if suffix in IMAGE_SUFFIXES:
        return f"artifacts/screenshots/{relative}"
    if suffix in TRACE_SUFFIXES:
        return f"artifacts/traces/{relative}"
    return f"artifacts/custom/{relative}"
