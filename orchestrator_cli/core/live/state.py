"""`state.json`, the heartbeat of a writer of live logs, and the liveness that its age tells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator_cli.core.base.errors import IntegrityError, NotFoundError
from orchestrator_cli.core.base.quantities import KIB
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import MAX_LIVE_OFFSET, live_log_path, live_state_key
from orchestrator_cli.core.live.segment import WRITER_ID
from orchestrator_cli.core.s3.operations.read import get_object
from orchestrator_cli.core.s3.operations.request import Operation

STATE_VERSION = 1
# Anybody who may write to the bucket may have written it; more of it is not read.
MAX_STATE_BYTES = 256 * KIB
# A log that rests for ten minutes costs no more than 21 requests, its end included.
HEARTBEAT_SECONDS = 35.0
# Two heartbeats that did not come.
SILENT_AFTER_SECONDS = 90.0
LOST_AFTER_SECONDS = 300.0
_MAX_TEXT_CHARACTERS = 1024
_MAX_INTERVAL_SECONDS = 10**6


class Liveness(StrEnum):
    """Whether the writer is alive. `lost` is derived by readers, and never stored."""

    ALIVE = "alive"
    SILENT = "silent"
    LOST = "lost"


def liveness_after(age_seconds: float, lost_after_seconds: float = LOST_AFTER_SECONDS) -> Liveness:
    """Return what the age of a heartbeat tells, by S3's clock, of a log that has not ended."""
    if age_seconds > lost_after_seconds:
        return Liveness.LOST
    return Liveness.SILENT if age_seconds > SILENT_AFTER_SECONDS else Liveness.ALIVE


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log is stored: the offset of what comes next and the newlines before that.

    `unknown` are fields of a newer version.
    """

    offset: int = 0
    line: int = 0
    ended: bool = False
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {**self.unknown, "offset": self.offset, "line": self.line, "ended": self.ended}


@dataclass(frozen=True, slots=True)
class LiveState:
    """Who writes the live logs of an execution and how far they are.

    `writer` are 128 random bits in hex, the same for all processes of one run; `epoch` counts how
    often another one has taken over, or the same one has begun again. `logs` are positions by the
    log's name. `unknown` are fields of a newer version.
    """

    writer: str
    host: str
    pid: int
    interval_seconds: float = 1.0
    epoch: int = 1
    logs: Mapping[str, LogPosition] = field(default_factory=dict)
    version: int = STATE_VERSION
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether every log has ended."""
        return bool(self.logs) and all(log.ended for log in self.logs.values())

    def to_json(self) -> bytes:
        """Serialise, fields of a newer version included."""
        known = {
            "version": self.version,
            "writer": self.writer,
            "epoch": self.epoch,
            "host": self.host,
            "pid": self.pid,
            "interval_seconds": self.interval_seconds,
            "logs": {name: log.to_dict() for name, log in self.logs.items()},
        }
        return json.dumps({**self.unknown, **known}, indent=2).encode() + b"\n"


def parse_state(content: bytes, key: str) -> LiveState:
    """Parse `state.json`. Raises IntegrityError naming the first field that is wrong."""
    try:
        return _state(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{key} is not valid: {error}") from error


def _state(found: Any) -> LiveState:
    fields = _object(found, "it")
    logs = _object(fields.pop("logs", None), "logs")
    return LiveState(
        version=_integer(fields, "version", 1),
        writer=_writer(fields),
        epoch=_integer(fields, "epoch", 1),
        host=_text(fields, "host"),
        pid=_integer(fields, "pid", 0),
        interval_seconds=_seconds(fields, "interval_seconds"),
        logs={_log_name(name): _position(name, position) for name, position in logs.items()},
        unknown=fields,
    )


def _position(name: str, found: Any) -> LogPosition:
    fields = _object(found, f"logs.{printable(name)}")
    offset, line = _integer(fields, "offset", 0), _integer(fields, "line", 0)
    ended = fields.pop("ended", None)
    if not isinstance(ended, bool):
        raise TypeError("ended is neither true nor false")
    return LogPosition(offset, line, ended, fields)


def _object(found: Any, name: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError(f"{name} is not an object")
    return dict(found)


def _integer(fields: dict[str, Any], name: str, least: int) -> int:
    found = fields.pop(name, None)
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(f"{name} is not an integer")
    if not least <= found <= MAX_LIVE_OFFSET:
        raise ValueError(f"{name} is out of range")
    return found


def _seconds(fields: dict[str, Any], name: str) -> float:
    found = fields.pop(name, None)
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise TypeError(f"{name} is not a number")
    if not 0 < found < _MAX_INTERVAL_SECONDS:
        raise ValueError(f"{name} is out of range")
    return float(found)


def _writer(fields: dict[str, Any]) -> str:
    text = _text(fields, "writer")
    if re.fullmatch(WRITER_ID, text) is None:
        raise ValueError("writer is not 32 hexadecimal digits")
    return text


def _text(fields: dict[str, Any], name: str) -> str:
    found = fields.pop(name, None)
    if not isinstance(found, str) or len(found) > _MAX_TEXT_CHARACTERS:
        raise ValueError(f"{name} is not a text, or too long")
    return found


def _log_name(name: str) -> str:
    if live_log_path(name) is None:
        raise ValueError("logs has a name that is no log's")
    return name


@dataclass(frozen=True, slots=True)
class StoredState:
    """A heartbeat as S3 holds it: its ETag, quotes included, and its age by S3's clock.

    Where S3 tells no age it is 0: nobody is called lost for want of an answer.
    """

    state: LiveState
    etag: str
    age_seconds: float


def read_state(execution_id: str) -> Operation[StoredState | None]:
    """Read the heartbeat of an execution; None where it has none. Raises IntegrityError."""
    key = live_state_key(execution_id)
    try:
        found = yield from get_object(key, MAX_STATE_BYTES)
    except NotFoundError:
        return None
    return StoredState(parse_state(found.content, key), found.etag, found.age_seconds or 0.0)
