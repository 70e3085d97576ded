"""Build and parse every key. No other module joins or splits keys."""

from __future__ import annotations

import re

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import execution_time, is_execution_id

EXECUTIONS_PREFIX = "executions/"
HISTORY_PREFIX = "history/"
LIVE_PREFIX = "live/"
DERIVED_PREFIX = "derived/"
METADATA_NAME = "metadata.json"
LOG_NAMES = ("runner.log", "bench.log", "stdout.log", "stderr.log")
RESULT_NAMES = ("results.json", "coverage.xml")
FOLDERS = ("screenshots", "traces", "custom")
# The content types of a log's index and of its last bytes.
INDEX_TYPE = "application/gzip"
TAIL_TYPE = "text/plain; charset=utf-8"
MAX_KEY_BYTES = 1024
MAX_LIVE_OFFSET = 10**20 - 1
# Anybody who may write to the bucket may have written a metadata.json; more of it is not read.
MAX_METADATA_READ_BYTES = 1024 * 1024

_UNSAFE_SEGMENTS = frozenset(("", ".", ".."))
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_LIVE_OFFSET = re.compile(r"[0-9]{20}")
_LIVE_STATE_NAME = "state.json"


class UnstorablePathError(UsageError):
    """No file can be stored under a path; `problem` says why, without the path."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"cannot store {printable(path)[:200]}: {problem}", hint="rename it")
        self.problem = problem


def execution_prefix(execution_id: str) -> str:
    """Return the prefix that holds everything of one execution."""
    return f"{EXECUTIONS_PREFIX}{execution_id}/"


def live_prefix(execution_id: str) -> str:
    """Return the prefix of the logs of an execution that are still being written."""
    return f"{LIVE_PREFIX}{execution_id}/"


def live_state_key(execution_id: str) -> str:
    """Return the key of the heartbeat of an execution's live logs."""
    return live_prefix(execution_id) + _LIVE_STATE_NAME


def live_log_prefix(execution_id: str, log: str) -> str:
    """Return the prefix of one live log's segments.

    A log is `stdout.log` or another of `LOG_NAMES`, or a file that grows, by its path below
    `artifacts/`. Raises UsageError for any other name.
    """
    path = live_log_path(log)
    if path is None:
        raise UsageError(f"not a log that can be live: {printable(log)[:200]}")
    prefix = f"{live_prefix(execution_id)}{path}/"
    if len(prefix.encode()) + len(str(MAX_LIVE_OFFSET)) > MAX_KEY_BYTES:
        raise UsageError(f"the keys of {printable(log)[:200]} would be too long")
    return prefix


def live_segment_key(execution_id: str, log: str, offset: int) -> str:
    """Return the key of the segment that begins at an offset. Raises UsageError."""
    if not 0 <= offset <= MAX_LIVE_OFFSET:
        raise UsageError(f"not an offset of a log: {offset}")
    return f"{live_log_prefix(execution_id, log)}{offset:020d}"


def parse_live_segment_key(key: str) -> tuple[str, str, int] | None:
    """Return (execution id, log, offset) of a segment's key, or None for a foreign key."""
    execution_id, _, rest = key.removeprefix(LIVE_PREFIX).partition("/")
    path, _, offset = rest.rpartition("/")
    log = path.removeprefix("logs/")
    if not key.startswith(LIVE_PREFIX) or not is_execution_id(execution_id):
        return None
    if not _LIVE_OFFSET.fullmatch(offset) or live_log_path(log) != path:
        return None
    return execution_id, log, int(offset)


def live_log_path(log: str) -> str | None:
    """Return where in its execution a live log is stored at last; None where there is no such."""
    if log in LOG_NAMES:
        return f"logs/{log}"
    named = log.startswith("artifacts/") and invalid_path_reason(log) is None
    return log if named else None


def live_log_name(path: str) -> str:
    """Return the name that a log has while it is live, by where it is stored at last."""
    return path.removeprefix("logs/")


def derived_prefix(execution_id: str) -> str:
    """Return the prefix of what was computed from an execution's logs."""
    return f"{DERIVED_PREFIX}{execution_id}/"


def log_index_key(execution_id: str, log: str) -> str:
    """Return the key of what was computed from a log: `stdout` for logs/stdout.log."""
    return f"{derived_prefix(execution_id)}logs/{log}.log.json.gz"


def log_tail_key(execution_id: str, log: str) -> str:
    """Return the key of a log's last bytes, which can be read where the log is archived."""
    return f"{derived_prefix(execution_id)}tail/{log}.log"


def key_after_execution(execution_id: str, prefix: str = EXECUTIONS_PREFIX) -> str:
    """Return what sorts after everything of one execution, and before all of the next."""
    return f"{prefix}{execution_id}0"


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
        raise UnstorablePathError(path, problem)
    return key


def parse_artifact_key(key: str) -> tuple[str, str] | None:
    """Return (execution id, path) of a file's key; None for metadata.json and foreign keys."""
    execution_id, separator, path = key.removeprefix(EXECUTIONS_PREFIX).partition("/")
    if not key.startswith(EXECUTIONS_PREFIX) or not separator or not is_execution_id(execution_id):
        return None
    if path == METADATA_NAME or invalid_path_reason(path) is not None:
        return None
    return execution_id, path


def key_execution_id(key: str, prefix: str = EXECUTIONS_PREFIX) -> str | None:
    """Return the execution that any key below a prefix belongs to; None for foreign ones.

    The prefix is `executions/`, or `live/`.
    """
    execution_id, separator, _ = key.removeprefix(prefix).partition("/")
    owned = key.startswith(prefix) and separator and is_execution_id(execution_id)
    return execution_id if owned else None


def history_key(execution_id: str) -> str:
    """Return the key of an execution's history line; its day is the UTC day of the ULID."""
    day = execution_time(execution_id).strftime("%Y-%m-%d")
    return f"{HISTORY_PREFIX}date={day}/{execution_id}.json"


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
