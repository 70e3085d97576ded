"""The file of tokens. It is read again when it changes, so revoking a token needs no restart."""

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

# Identifies one version of the file. It contains the ctime, because programs such as `cp -p` can
# keep the mtime of a changed file, but not its ctime.
_Version = tuple[int, int, int, int, int]


class TokenFile:
    """Knows which tokens are valid now. Safe to share between threads.

    It fails closed: an invalid line leaves only the other tokens valid, and a file that cannot be
    read leaves none. `report` is called once for each version of the file, with the number of valid
    tokens and what is wrong with the file, or None.
    """

    def __init__(
        self,
        path: Path | None,
        now: Callable[[], datetime],
        report: Callable[[int, str | None], None] = lambda valid, problem: None,
    ) -> None:
        """Read the file. Raises UsageError if it has no token or an invalid line."""
        self._path = path
        self._now = now
        self._report = report
        self._lock = threading.Lock()
        self._random = secrets.token_bytes(32)
        self._version: _Version | None = None
        self._reported: tuple[_Version | None, str | None] | None = None
        self._tokens: tuple[Token, ...] = ()
        if path is not None:
            self._tokens = _check_whole(path, self._read(path))
            self._report_problem(None)

    @property
    def required(self) -> bool:
        """True if requests need a token."""
        return self._path is not None

    def signing_key(self) -> bytes:
        """Return a secret that all servers with this file share; without a file, a random one."""
        self._refresh()
        if not self._tokens:
            return self._random
        hashes = "".join(sorted(token.sha256 for token in self._tokens))
        return hashlib.sha256(f"orchestrator links {hashes}".encode()).digest()

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented; None if it is unknown or has expired.

        It is compared with every token in constant time.
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
            if self._version is not None and _version_of(self._path) == self._version:
                return
            self._tokens, problem = self._read_again(self._path)
            self._report_problem(problem)

    def _read_again(self, path: Path) -> tuple[tuple[Token, ...], str | None]:
        """Return the valid tokens, and the problem of the file, if any."""
        try:
            parsed = self._read(path)
        except UsageError as error:
            self._version = None
            return (), f"{error.message}; every request is denied"
        if parsed.bad_lines:
            lines = ", ".join(map(str, parsed.bad_lines[:10]))
            return parsed.tokens, f"{printable(path)}, line {lines}: not {TOKEN_FORM}"
        return parsed.tokens, None

    def _report_problem(self, problem: str | None) -> None:
        """Report a problem or None, but the same one only once for a version of the file."""
        reported = (self._version, problem)
        if reported != self._reported:
            self._reported = reported
            self._report(len(self._tokens), problem)

    def _read(self, path: Path) -> ParsedTokens:
        text, stat = read_small_file(path)
        self._version = _version(stat)
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


def _version_of(path: Path) -> _Version | None:
    with suppress(OSError):
        return _version(path.stat())
    return None


def _version(stat: os.stat_result) -> _Version:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
