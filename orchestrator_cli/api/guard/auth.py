"""Bearer tokens: their scopes, and their lines in the file of tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.s3.types import SHA256_HEX

SCOPES = ("read", "upload")
_PREFIX = "orc_"
# The paths that an upload token may use.
UPLOADS = re.compile(r"/executions/([^/]*)/(?:uploads|live)(/.*)?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9._:+-]+", re.ASCII)
_SHA256 = re.compile(f"sha256:{SHA256_HEX}")
TOKEN_FORM = "NAME SCOPE [bench=ID] [execution=ID] [until=TIME] sha256:HEX"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the file has it: its hash, and a name that stands for it in logs.

    `bench_id` and `execution_id` restrict an upload token; None means any.
    """

    name: str
    scope: str
    sha256: str
    bench_id: str | None = None
    execution_id: str | None = None
    until: datetime | None = None

    def allows(self, method: str, path: str) -> bool:
        """Return True if the token allows a request. Upload tokens allow nothing but uploads."""
        uploads = UPLOADS.fullmatch(path)
        if self.scope == "read":
            return uploads is None and method in ("GET", "HEAD", "OPTIONS")
        return uploads is not None and self.execution_id in (None, uploads[1].upper())


@dataclass(frozen=True, slots=True)
class TokenScope:
    """What a new token allows. Raises UsageError for restrictions that its scope cannot have."""

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
        """Return the words that stand for the scope in the file of tokens."""
        until = self.until and self.until.isoformat(timespec="seconds").replace("+00:00", "Z")
        named = {"bench": self.bench_id, "execution": self.execution_id, "until": until}
        return [self.scope, *(f"{name}={text}" for name, text in named.items() if text)]


def new_token(name: str, bounds: TokenScope, randomness: bytes | None = None) -> tuple[str, str]:
    """Return a new token, and the line for it in the file of tokens."""
    if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError("a token's name has only letters, digits, - and _")
    text = _PREFIX + (randomness or secrets.token_bytes(32)).hex()
    return text, " ".join((name, *bounds.words(), f"sha256:{hash_token(text)}"))


@dataclass(frozen=True, slots=True)
class ParsedTokens:
    """The tokens of a file, and the numbers of its invalid lines."""

    tokens: tuple[Token, ...]
    bad_lines: tuple[int, ...]


def parse_tokens(text: str) -> ParsedTokens:
    """Parse the file: one token per line, as `new_token` returns it; # begins a comment."""
    tokens, bad_lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            tokens.append(_parse_line(words))
        except (ValueError, UsageError):
            bad_lines.append(number)
    return ParsedTokens(tuple(tokens), tuple(bad_lines))


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


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, which the file has in its place."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
