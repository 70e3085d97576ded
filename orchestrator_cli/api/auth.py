"""Bearer tokens: kept as hashes in a file, compared in constant time, with scopes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id

SCOPES = ("read", "upload")
_PREFIX = "orc_"
# The paths that upload tokens are for.
UPLOADS = re.compile(r"/executions/([^/]*)/uploads(/.*)?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9._:+-]+", re.ASCII)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_FORM = "NAME SCOPE [bench=ID] [execution=ID] [until=TIME] sha256:HEX"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: `name` says whose it is, in logs too.

    `bench_id` and `execution_id` bound what an upload token is for; None is any.
    """

    name: str
    scope: str
    sha256: str
    bench_id: str | None = None
    execution_id: str | None = None
    until: datetime | None = None

    def allows(self, method: str, path: str) -> bool:
        """Say whether a request may be made: to upload is for upload tokens, and only that."""
        uploads = UPLOADS.fullmatch(path)
        if self.scope == "read":
            return uploads is None and method in ("GET", "HEAD", "OPTIONS")
        return uploads is not None and self.execution_id in (None, uploads[1].upper())


@dataclass(frozen=True, slots=True)
class TokenScope:
    """What a new token is for. Raises UsageError for bounds that its scope has not."""

    scope: str = "read"
    bench_id: str | None = None
    execution_id: str | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.scope != "upload" and (self.bench_id or self.execution_id):
            raise UsageError("only an upload token is for one bench or one execution")
        if self.bench_id is not None and _WORD.fullmatch(self.bench_id) is None:
            raise UsageError("a token's bench has only letters, digits and . _ : + -")

    def words(self) -> list[str]:
        """Return them as the file of tokens has them."""
        until = self.until and self.until.isoformat(timespec="seconds").replace("+00:00", "Z")
        named = {"bench": self.bench_id, "execution": self.execution_id, "until": until}
        return [self.scope, *(f"{name}={text}" for name, text in named.items() if text)]


def new_token(name: str, bounds: TokenScope, randomness: bytes | None = None) -> tuple[str, str]:
    """Return a fresh token, and the line that stands for it in the file of tokens."""
    if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError("a token's name has only letters, digits, - and _")
    text = _PREFIX + (randomness or secrets.token_bytes(32)).hex()
    return text, " ".join((name, *bounds.words(), f"sha256:{_hash(text)}"))


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """Parse the file: a line a token, as `new_token` writes it; # begins a comment.

    Raises UsageError naming the line, never showing it.
    """
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            tokens.append(_parse_line(words))
        except (ValueError, UsageError) as error:
            raise UsageError(
                f"{where}, line {number}: not {_FORM}",
                hint="`orchestrator serve --new-token NAME` prints such a line",
            ) from error
    return tuple(tokens)


def _parse_line(words: list[str]) -> Token:
    name, scope, *bounds, digest = words
    if scope not in SCOPES or _SHA256.fullmatch(digest) is None:
        raise ValueError
    given = dict(word.split("=", 1) for word in bounds)
    if len(given) != len(bounds) or not given.keys() <= {"bench", "execution", "until"}:
        raise ValueError
    execution_id = parse_execution_id(given["execution"]) if "execution" in given else None
    until = datetime.fromisoformat(given["until"]) if "until" in given else None
    if until is not None and until.tzinfo is None:
        raise ValueError
    checked = TokenScope(scope, given.get("bench"), execution_id, until)
    return Token(
        name,
        scope,
        digest.removeprefix("sha256:"),
        checked.bench_id,
        checked.execution_id,
        checked.until,
    )


class TokenFile:
    """The tokens of a file, read again when it changes; a file that went bad changes nothing."""

    def __init__(self, path: Path | None, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        if path is not None:
            self._tokens = self._read()
            if not self._tokens:
                raise UsageError(f"{printable(path)} has no token")

    @property
    def required(self) -> bool:
        """Whether a request needs a token."""
        return self._path is not None

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented, unless it has ended.

        Every one is compared, in constant time.
        """
        self._refresh()
        digest = _hash(presented)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        if found is not None and found.until is not None and found.until <= self._now():
            return None
        return found

    def _refresh(self) -> None:
        with self._lock:
            try:
                if self._path is not None and self._stamp() != self._seen:
                    self._tokens = self._read()
            except (OSError, UsageError):
                # While it is being written, the tokens that were there stay good.
                return

    def _stamp(self) -> tuple[int, int, int]:
        state = self._path.stat()  # type: ignore[union-attr]
        return state.st_ino, state.st_size, state.st_mtime_ns

    def _read(self) -> tuple[Token, ...]:
        path = self._path
        try:
            self._seen = self._stamp()
            text = path.read_text(encoding="utf-8")  # type: ignore[union-attr]
        except OSError as error:
            raise UsageError(f"cannot read {printable(path)}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{printable(path)} is not UTF-8") from error
        return parse_tokens(text, printable(path))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
