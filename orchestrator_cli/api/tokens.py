"""Bearer tokens: kept as hashes in a file, compared in constant time, with scopes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from orchestrator_cli.core.errors import UsageError, printable

SCOPES = ("read",)
_PREFIX = "orc_"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: `name` says whose it is, in logs too."""

    name: str
    scope: str
    sha256: str


def new_token(name: str, scope: str, randomness: bytes | None = None) -> tuple[str, str]:
    """Return a fresh token, and the line that stands for it in the file of tokens."""
    if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError("a token's name has only letters, digits, - and _")
    text = _PREFIX + (randomness or secrets.token_bytes(32)).hex()
    return text, f"{name} {scope} sha256:{_hash(text)}"


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """Parse the file: a line a token, `NAME SCOPE sha256:HEX`; # begins a comment.

    Raises UsageError naming the line, never showing it.
    """
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        digest = words[-1].removeprefix("sha256:")
        known = len(words) == 3 and words[1] in SCOPES and words[2].startswith("sha256:")
        if not known or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise UsageError(
                f"{where}, line {number}: not NAME SCOPE sha256:HEX",
                hint="`orchestrator serve --new-token NAME` prints such a line",
            )
        tokens.append(Token(words[0], words[1], digest))
    return tuple(tokens)


class TokenFile:
    """The tokens of a file, read again when it changes; a file that went bad changes nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
        """Return the token that was presented. Every one is compared, in constant time."""
        self._refresh()
        digest = _hash(presented)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
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
