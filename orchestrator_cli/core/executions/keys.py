"""Build and parse every key, decide where a file goes, and do arithmetic on ULID times.

No other module joins or splits keys.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from orchestrator_cli.core.base.errors import UsageError, printable

EXECUTIONS_PREFIX = "executions/"
HISTORY_PREFIX = "history/"
LIVE_PREFIX = "live/"
METADATA_NAME = "metadata.json"
LOG_NAMES = ("runner.log", "bench.log", "stdout.log", "stderr.log")
RESULT_NAMES = ("results.json", "coverage.xml")
FOLDERS = ("screenshots", "traces", "custom")
MAX_KEY_BYTES = 1024

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ULID_PREFIX = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{0,25}")
_UNSAFE_SEGMENTS = frozenset(("", ".", ".."))
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_MAX_ULID_MILLISECONDS = 2**48 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .gif .bmp .webp .svg .tif .tiff .avif .heic .ico .ppm "
    ".mp4 .webm .mov .mkv .avi .m4v .mpg .mpeg .ogv".split()
)
_TRACE_SUFFIXES = frozenset(
    ".pcap .pcapng .cap .trace .perfetto-trace .pftrace .ftrace .ctf .vcd .fst .blf .asc .mf4 "
    ".mdf .etl .tracev3 .systrace .nettrace .otf2 .har".split()
)


# --- execution ids ---------------------------------------------------------------------------


def parse_execution_id(text: str) -> str:
    """Return the canonical form of a ULID. Raises UsageError."""
    folded = text.upper()
    if not _ULID.fullmatch(folded):
        raise UsageError(
            f"not an execution id: {printable(text)!r}",
            hint="an execution id is a ULID: 26 characters, the first 0-7, no I, L, O or U",
        )
    return folded


def is_execution_id(text: str) -> bool:
    """Say whether the text is a ULID in canonical form."""
    return _ULID.fullmatch(text) is not None


def is_execution_id_prefix(text: str) -> bool:
    """Say whether a canonical ULID can start with this text, upper or lower case."""
    return _ULID_PREFIX.fullmatch(text.upper()) is not None


def new_execution_id(now: datetime, randomness: bytes) -> str:
    """Return the ULID of an instant and 10 random bytes."""
    from ulid import ULID

    return str(ULID.from_bytes(_milliseconds(now).to_bytes(6, "big") + randomness))


def execution_time(execution_id: str) -> datetime:
    """Return the instant inside a ULID, in UTC.

    The 48 bits reach the year 10889; what datetime cannot hold is clamped to its maximum.
    """
    from ulid import ULID

    milliseconds = int.from_bytes(ULID.from_str(execution_id).bytes[:6], "big")
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def first_execution_id(instant: datetime) -> str:
    """Return the smallest ULID of an instant's millisecond."""
    return new_execution_id(instant, b"\x00" * 10)


def last_execution_id(instant: datetime) -> str:
    """Return the largest ULID of an instant's millisecond."""
    return new_execution_id(instant, b"\xff" * 10)


def _milliseconds(instant: datetime) -> int:
    milliseconds = (instant - _EPOCH) // timedelta(milliseconds=1)
    return min(max(milliseconds, 0), _MAX_ULID_MILLISECONDS)


# --- keys ------------------------------------------------------------------------------------


def execution_prefix(execution_id: str) -> str:
    """Return the prefix that holds everything of one execution."""
    return f"{EXECUTIONS_PREFIX}{execution_id}/"


def key_after_execution(execution_id: str) -> str:
    """Return what sorts behind everything of one execution, and before all of the next."""
    return f"{EXECUTIONS_PREFIX}{execution_id}0"


def parse_execution_prefix(prefix: str) -> str | None:
    """Return the execution id of `executions/<id>/`, or None for a foreign prefix."""
    name = prefix.removeprefix(EXECUTIONS_PREFIX).removesuffix("/")
    return name if prefix == execution_prefix(name) and is_execution_id(name) else None


def metadata_key(execution_id: str) -> str:
    """Return the key of `metadata.json`."""
    return execution_prefix(execution_id) + METADATA_NAME


def artifact_key(execution_id: str, path: str) -> str:
    """Return the key of a file of an execution. Raises UsageError where the path is unsafe."""
    problem = invalid_path_reason(path)
    key = execution_prefix(execution_id) + path
    if problem is None and path == METADATA_NAME:
        problem = "the name is reserved"
    if problem is None and len(key.encode()) > MAX_KEY_BYTES:
        problem = f"its key would be longer than {MAX_KEY_BYTES:,} bytes"
    if problem is not None:
        raise UsageError(f"cannot store {printable(path)[:200]}: {problem}", hint="rename it")
    return key


def parse_artifact_key(key: str) -> tuple[str, str] | None:
    """Return (execution id, path) of a file's key; None for metadata.json and foreign keys."""
    execution_id, separator, path = key.removeprefix(EXECUTIONS_PREFIX).partition("/")
    if not key.startswith(EXECUTIONS_PREFIX) or not separator or not is_execution_id(execution_id):
        return None
    if path == METADATA_NAME or invalid_path_reason(path) is not None:
        return None
    return execution_id, path


def key_execution_id(key: str) -> str | None:
    """Return the execution that any key below `executions/` belongs to; None for foreign ones."""
    execution_id, separator, _ = key.removeprefix(EXECUTIONS_PREFIX).partition("/")
    owned = key.startswith(EXECUTIONS_PREFIX) and separator and is_execution_id(execution_id)
    return execution_id if owned else None


def history_key(execution_id: str) -> str:
    """Return the key of an execution's history line; its day is the UTC day of the ULID."""
    day = execution_time(execution_id).strftime("%Y-%m-%d")
    return f"{HISTORY_PREFIX}date={day}/{execution_id}.json"


def parse_history_key(key: str) -> str | None:
    """Return the execution id of a history key, or None for a foreign key."""
    execution_id = PurePosixPath(key).name.removesuffix(".json")
    if not is_execution_id(execution_id) or history_key(execution_id) != key:
        return None
    return execution_id


def invalid_path_reason(path: str) -> str | None:
    """Say why a relative path cannot be stored or written to disk, or return None."""
    if not path or path.startswith("/"):
        return "the path is empty or absolute"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    if not _UNSAFE_SEGMENTS.isdisjoint(path.split("/")):
        return "the path has an empty, “.” or “..” segment"
    if _CONTROLS.search(path):
        return "the name has control characters"
    return None


def file_suffix(path: str) -> str:
    """Return a name's last suffix in lower case, with its dot; "" for none, as in `.bashrc`."""
    stem, _, suffix = path.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem and suffix else ""


# --- where a file goes -----------------------------------------------------------------------


def place(relative: str) -> str:
    """Return where a file goes, from its path relative to the root that was given.

    Raises UsageError for a path that cannot be stored.
    """
    problem = invalid_path_reason(relative)
    if problem is not None:
        raise UsageError(f"cannot store {printable(relative)[:200]}: {problem}", hint="rename it")
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


def log_path(name: str) -> str | None:
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
    if suffix in _IMAGE_SUFFIXES:
        return f"artifacts/screenshots/{relative}"
    if suffix in _TRACE_SUFFIXES:
        return f"artifacts/traces/{relative}"
    return f"artifacts/custom/{relative}"
