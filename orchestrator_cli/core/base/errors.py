"""The exceptions of the library; each carries its exit code and what to do next."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import NamedTuple


class ExitCode(NamedTuple):
    """An exit code. `reason` is the word for it in the labels of metrics."""

    code: int
    reason: str
    meaning: str


_EXIT_CODES = (
    ExitCode(0, "", "done, including “identical, already stored”"),
    ExitCode(1, "other", "unexpected error, or an output that cannot be written"),
    ExitCode(2, "usage", "usage or configuration error"),
    ExitCode(3, "partial", "some files failed; the rest are stored and each failure is listed"),
    ExitCode(4, "not_found", "no such execution, file or bucket"),
    ExitCode(5, "access", "credentials missing or access denied"),
    ExitCode(6, "conflict", "conflict: the key holds different content; nothing was changed"),
    ExitCode(7, "integrity", "integrity: bytes do not match their checksum"),
    ExitCode(8, "archived", "archived: restore it first"),
    ExitCode(9, "unavailable", "storage unavailable after retries; the same command resumes"),
    ExitCode(130, "interrupted", "interrupted; the same command resumes"),
)
# What each means to whoever runs a command.
EXIT_CODES = {one.code: one.meaning for one in _EXIT_CODES}
# One word for each exit code of an error: a closed set, so that labels stay few.
REASONS = {one.code: one.reason for one in _EXIT_CODES if one.reason}

# Only commands that continue where they stopped may say so.
RESUME_HINT = "run the same command again: it resumes"


class OrchestratorError(Exception):
    """An expected failure: one line of what failed, what to do next, S3's request id.

    `retryable` says whether the same request may succeed when sent again.
    `is_fatal` says whether it concerns every object of this run, as credentials and the bucket do.
    `is_inferred` says that this was inferred from several failures in a row: another execution may
    fare better.
    `is_throttled` says that the server asks for fewer requests, and `retry_after_seconds` after
    how long it wants the next one.
    `is_timeout` says that the response did not come in the time that it may take.
    `needs_fix` says whether repeating the command ends the same way until somebody has put right a
    setting, the bucket, a permission or a record.
    `is_inconclusive` says that nothing is known of the object: it was not reached, or may not be
    read.
    `retry_may_help` says whether repeating the command later may succeed though the local file and
    its name stay as they are: what failed is the storage, the access to it, or the way there.
    `code` is S3's error code (`NoSuchKey`, `SlowDown`, …) where there was an answer.
    """

    exit_code = 1
    is_fatal = False
    is_inferred = False
    is_throttled = False
    is_timeout = False
    needs_fix = False
    is_inconclusive = False
    retry_may_help = False
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
        if retryable:
            self.retry_may_help = True
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
    retry_may_help = True


class AccessError(OrchestratorError):
    """Credentials are missing, expired or not allowed to do this.

    `is_denial` says whether a policy could allow it; `action` is then the one that was refused,
    such as `s3:PutObject`, where that is known.
    """

    exit_code = 5
    needs_fix = True
    is_inconclusive = True
    retry_may_help = True
    is_denial = False
    action: str | None = None


class ConflictError(OrchestratorError):
    """The key holds other content, or somebody else changed the object first."""

    exit_code = 6


class IntegrityError(OrchestratorError):
    """Bytes do not match their checksum, or a file changed while it was read."""

    exit_code = 7
    needs_fix = True
    retry_may_help = True


class ArchivedError(OrchestratorError):
    """The object is in an archive storage class and must be restored first."""

    exit_code = 8


class UnavailableError(OrchestratorError):
    """The storage did not answer, or answered with an error that can pass."""

    exit_code = 9
    is_inconclusive = True
    retry_may_help = True

    def name_peer(self, peer: str) -> None:
        """Say who answered, where that is known and not said yet."""
        if peer and peer not in self.message:
            self.message = f"{self.message} ({peer})"
            self.args = (self.message,)


class InterruptedByUser(OrchestratorError):  # noqa: N818 - an event, not a fault
    """Ctrl-C or SIGTERM: what was uploaded is kept."""

    exit_code = 130
    is_fatal = True


# How a read of something fails that can be computed again, or done without.
UNREADABLE = (NotFoundError, IntegrityError, ArchivedError)
# How work with the storage and with this machine's files fails; all else is a fault of the program.
EXPECTED_FAILURES = (OrchestratorError, OSError)


class suppress_unless_fatal(contextlib.suppress):  # noqa: N801 - used as contextlib.suppress is
    """Suppress errors of these classes where they concern one object alone, and no fatal one."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return not getattr(error, "is_fatal", False) and super().__exit__(kind, error, trace)


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error that is kept as a result, and of its causes.

    The frames in them hold what failed, such as the bytes of a file.
    """
    left: BaseException | None = error
    while left is not None and left.__traceback__ is not None:
        left.__traceback__ = None
        left = left.__cause__ or left.__context__
