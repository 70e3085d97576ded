"""The exceptions of the library; each carries its exit code and what to do next."""

from __future__ import annotations

import re
import unicodedata

EXIT_CODES: dict[int, str] = {
    0: "done, including “identical, already stored”",
    1: "unexpected error",
    2: "usage or configuration error",
    3: "some files failed; the rest are stored and each failure is listed",
    4: "no such execution, file or bucket",
    5: "credentials missing or access denied",
    6: "conflict: the key holds different content; nothing was changed",
    7: "integrity: bytes do not match their checksum",
    8: "archived: restore it first",
    9: "storage unavailable after retries; the same command resumes",
    130: "interrupted; the same command resumes",
}

# Bidirectional overrides and isolates can make a name read as another one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# A signed query string; elements of S3's error answers; headers as a proxy may show them; the user
# and password of a URL.
_SECRETS = (
    r"(?i)(?P<keep>)[?&][^\s\"'<>?]*X-Amz-[^\s\"'<>]*",
    r"(?P<keep><[\w-]*(Token|Secret|Sign|Credential|Canonical|AccessKey)[\w-]*>)[^<]*",
    r"(?i)(?P<keep>\b(x-amz-security-token|signature|credential|authorization)\W{0,3}[:=])[^\n,&<]*",
    r"(?P<keep>://)[^\s/\"'<>]+(?=@)",
)
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(name: object) -> str:
    """Return a name from outside with everything a terminal would act on escaped."""
    text = str(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character in _BIDI or unicodedata.category(character) in _ESCAPED_CATEGORIES:
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")
    return character


def without_secrets(text: str) -> str:
    """Return a text, as of a traceback, without what could be used to sign or to pass as us.

    Servers repeat our own request in some error answers, its session token included.
    """
    for pattern in _SECRETS:
        text = re.sub(pattern, r"\g<keep>…", text)
    return text


class OrchestratorError(Exception):
    """An expected failure: one line of what failed, what to do next, S3's request id.

    `retryable` says whether the same request may succeed when sent again.
    `code` is S3's error code (`NoSuchKey`, `SlowDown`, …) where there was an answer.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        request_id: str | None = None,
        code: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.code = code
        self.retryable = retryable


class UsageError(OrchestratorError):
    """The command, an option, a name or the configuration cannot be used as given."""

    exit_code = 2


class PartialFailureError(OrchestratorError):
    """Some files failed; the others are stored."""

    exit_code = 3


class NotFoundError(OrchestratorError):
    """No such execution, file or bucket."""

    exit_code = 4


class AccessError(OrchestratorError):
    """Credentials are missing, expired or not allowed to do this."""

    exit_code = 5


class ConflictError(OrchestratorError):
    """The key holds other content, or somebody else changed the object first."""

    exit_code = 6


class IntegrityError(OrchestratorError):
    """Bytes do not match their checksum, or a file changed while it was read."""

    exit_code = 7


class ArchivedError(OrchestratorError):
    """The object is in an archive storage class and must be restored first."""

    exit_code = 8


class UnavailableError(OrchestratorError):
    """The storage did not answer, or answered with an error that can pass."""

    exit_code = 9


class InterruptedByUser(OrchestratorError):  # noqa: N818 - an event, not a fault
    """Ctrl-C or SIGTERM: what was uploaded is kept."""

    exit_code = 130
