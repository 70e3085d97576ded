"""The exceptions of the library; each carries its exit code and what to do next."""

from __future__ import annotations

EXIT_CODES: dict[int, str] = {
    0: "done, including “identical, already stored”",
    1: "unexpected error, or an output that cannot be written",
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

# Only commands that continue where they stopped may say so.
RESUME_HINT = "run the same command again: it resumes"


class OrchestratorError(Exception):
    """An expected failure: one line of what failed, what to do next, S3's request id.

    `retryable` says whether the same request may succeed when sent again.
    `is_fatal` says whether it concerns every object of this run, as credentials and the bucket do.
    `is_throttled` says that the server asks for fewer requests, and `retry_after_seconds` after
    how long it wants the next one.
    `needs_fix` says whether repeating the command ends the same way until somebody has put right a
    setting, the bucket, a permission or a record.
    `code` is S3's error code (`NoSuchKey`, `SlowDown`, …) where there was an answer.
    """

    exit_code = 1
    is_fatal = False
    is_throttled = False
    needs_fix = False
    retry_after_seconds: float | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        request_id: str | None = None,
        code: str | None = None,
        retryable: bool = False,
        is_fatal: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.code = code
        self.retryable = retryable
        if is_fatal:
            self.is_fatal = True


class UsageError(OrchestratorError):
    """The command, an option, a name or the configuration cannot be used as given."""

    exit_code = 2
    needs_fix = True


class CannotWriteError(OrchestratorError):
    """A file or directory of this machine cannot be written."""


class PartialFailureError(OrchestratorError):
    """Some files failed; the others are stored."""

    exit_code = 3


class UnsupportedError(OrchestratorError):
    """The server does not implement the request; whatever needs it has to do without."""


class NotFoundError(OrchestratorError):
    """No such execution, file or bucket."""

    exit_code = 4
    needs_fix = True


class AccessError(OrchestratorError):
    """Credentials are missing, expired or not allowed to do this.

    `action` is the one that was refused, such as `s3:PutObject`; None where it is none of those.
    """

    exit_code = 5
    needs_fix = True
    action: str | None = None


class ConflictError(OrchestratorError):
    """The key holds other content, or somebody else changed the object first."""

    exit_code = 6


class IntegrityError(OrchestratorError):
    """Bytes do not match their checksum, or a file changed while it was read."""

    exit_code = 7
    needs_fix = True


class ArchivedError(OrchestratorError):
    """The object is in an archive storage class and must be restored first."""

    exit_code = 8


class UnavailableError(OrchestratorError):
    """The storage did not answer, or answered with an error that can pass."""

    exit_code = 9


class InterruptedByUser(OrchestratorError):  # noqa: N818 - an event, not a fault
    """Ctrl-C or SIGTERM: what was uploaded is kept."""

    exit_code = 130
    is_fatal = True
