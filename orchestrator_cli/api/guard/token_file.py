"""The file of tokens, read again whenever it changes, so that revoking a token needs no restart."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from orchestrator_cli.api.guard.auth import (
    TOKEN_FORM,
    ParsedTokens,
    Token,
    hash_token,
    parse_tokens,
)
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.small_file import read_small_file

# What identifies one state of a file. The time of the last status change is part of it, because
# a program that keeps the time of the last change, as `cp -p` does, cannot keep that one.
_State = tuple[int, int, int, int, int]


class TokenFile:
    """Knows which tokens are valid now. Safe to share between threads.

    It fails closed: a line that is no token denies that token and leaves the others valid, and a
    file that cannot be read denies everything. `report` is called with each state of the file
    once it is read: how many tokens are valid, and what is wrong, or None.
    """

    def __init__(
        self,
        path: Path | None,
        now: Callable[[], datetime],
        report: Callable[[int, str | None], None] = lambda valid, problem: None,
    ) -> None:
        """Read the file. Raises UsageError unless it has tokens and nothing else."""
        self._path = path
        self._now = now
        self._report = report
        self._lock = threading.Lock()
        self._random = secrets.token_bytes(32)
        self._state: _State | None = None
        self._told: tuple[_State | None, str | None] | None = None
        self._tokens: tuple[Token, ...] = ()
        if path is not None:
            self._tokens = _check_whole(path, self._read(path))
            self._report_problem(None)

    @property
    def required(self) -> bool:
        """Whether a request needs a token."""
        return self._path is not None

    def signing_key(self) -> bytes:
        """Return a secret that all servers of this file of tokens have; random without a file."""
        self._refresh()
        if not self._tokens:
            return self._random
        hashes = "".join(sorted(token.sha256 for token in self._tokens))
        return hashlib.sha256(f"orchestrator links {hashes}".encode()).digest()

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented, unless it has ended.

        Every token is compared, in constant time.
        """
        self._refresh()
        digest = hash_token(presented)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        if found is not None and found.until is not None and found.until <= self._now():
            return None
        return found

    def _refresh(self) -> None:
        if self._path is None:
            return
        with self._lock:
            if self._state is not None and _state_of(self._path) == self._state:
                return
            self._tokens, problem = self._read_again(self._path)
            self._report_problem(problem)

    def _read_again(self, path: Path) -> tuple[tuple[Token, ...], str | None]:
        """Return the valid tokens, and the problem of the file, if any."""
        try:
            parsed = self._read(path)
        except UsageError as error:
            self._state = None
            return (), f"{error.message}; every request is denied"
        if parsed.bad_lines:
            lines = ", ".join(map(str, parsed.bad_lines[:10]))
            return parsed.tokens, f"{printable(path)}, line {lines}: not {TOKEN_FORM}"
        return parsed.tokens, None

    def _report_problem(self, problem: str | None) -> None:
        """Report, but not with every request while the file stays unreadable."""
        told = (self._state, problem)
        if told != self._told:
            self._told = told
            self._report(len(self._tokens), problem)

    def _read(self, path: Path) -> ParsedTokens:
        text, found = read_small_file(path)
        self._state = _as_state(found)
        return parse_tokens(text)


def _check_whole(path: Path, parsed: ParsedTokens) -> tuple[Token, ...]:
    if parsed.bad_lines:
        raise UsageError(
            f"{printable(path)}, line {parsed.bad_lines[0]}: not {TOKEN_FORM}",
            hint="`orchestrator serve --new-token NAME` prints such a line",
        )
    if not parsed.tokens:
        raise UsageError(f"{printable(path)} has no token")
    return parsed.tokens


def _state_of(path: Path) -> _State | None:
    with suppress(OSError):
        return _as_state(path.stat())
    return None


def _as_state(found: os.stat_result) -> _State:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
