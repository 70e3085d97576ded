"""Collect the results of each file of a run."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.base.errors import ConflictError, PartialFailureError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.types import UploadResult


class FileResults:
    """The files that are stored and those that are not, by their path in the execution.

    A failure stays one: of two files for one path, the one that is not stored counts. `write` takes
    lines for runner.log. `left_in_spool` says that S3 lacks something of the spool, `resumes` that
    a later try may store some of it; `displaced` are files of the spool, by their path in the
    execution, where something else is stored for ever.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.stored: set[str] = set()
        self.failures: dict[str, str] = {}
        self.problems: list[str] = []
        self.left_in_spool = False
        self.resumes = False
        self.displaced: dict[str, str] = {}
        self.artifacts_failed = False

    def add(self, result: UploadResult, *, spooled: bool = False) -> None:
        """Add the result of one file; `spooled` ones are named by their path alone."""
        name = printable(result.path if spooled else result.source)
        if result.error is not None:
            path = result.path or name
            # The path is said before every reason.
            self.fail(path, result.error.message.removeprefix(f"{printable(path)}: "), name)
            self.artifacts_failed = self.artifacts_failed or not spooled
            if spooled:
                self._keep(path, result)
        elif result.outcome is None:
            self.problems.append(f"skipped {name}: {result.skip_reason}")
            self._write(f"skipped: {name}: {result.skip_reason}")
        else:
            self.stored.add(str(result.path))
            what = printable(result.path)
            self._write(f"stored: {what}: {result.outcome}, {result.size_bytes:,} bytes")

    def _keep(self, path: str, result: UploadResult) -> None:
        self.left_in_spool = True
        # What is stored under its name already will never give way to it.
        if isinstance(result.error, ConflictError):
            self.displaced[path] = result.source
        else:
            self.resumes = True

    def fail(self, path: str, reason: str, name: str | None = None) -> None:
        """Add a failure, for the record and the user: a file is not stored, or not whole."""
        self.failures[path] = reason
        self.problems.append(f"{name or path}: {reason}")
        self._write(f"failed: {name or path}: {reason}")

    def fail_spooled(self, path: str, reason: str) -> None:
        """Add a failure of a file that the spool still holds, or that can be made from it again."""
        self.left_in_spool = self.resumes = True
        self.fail(path, reason)

    @property
    def exit_code(self) -> int:
        """The exit code of `run --resume`: 3 where a file failed, 6 where resuming cannot help."""
        if not self.failures:
            return 0
        is_final = self.left_in_spool and not self.resumes
        return (ConflictError if is_final else PartialFailureError).exit_code

    @property
    def resolved(self) -> set[str]:
        """The paths of which no failure is left."""
        return self.stored - self.failures.keys()
