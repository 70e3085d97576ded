"""What became of each file of a run."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.base.errors import ConflictError, PartialFailureError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.types import UploadResult


class FileResults:
    """The files that are stored and those that are not, by their path in the execution.

    A failure stays one: of two files for one path, the one that is not stored counts. `write` takes
    lines for runner.log. `left_in_spool` says that S3 lacks something of the spool, `resumes` that
    a later try may store some of it.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.stored: set[str] = set()
        self.failures: dict[str, str] = {}
        self.problems: list[str] = []
        self.left_in_spool = False
        self.resumes = False
        self.artifacts_failed = False

    def add(self, result: UploadResult, *, spooled: bool = False) -> None:
        """Take what became of one file; `spooled` ones are named by their path alone."""
        name = printable(result.path if spooled else result.source)
        if result.error is not None:
            self.fail(result.path or name, result.error.message, name)
            self.left_in_spool = self.left_in_spool or spooled
            # What is stored under its name already will never give way to it.
            is_final = isinstance(result.error, ConflictError)
            self.resumes = self.resumes or (spooled and not is_final)
            self.artifacts_failed = self.artifacts_failed or not spooled
        elif result.outcome is None:
            self.problems.append(f"skipped {name}: {result.note}")
            self._write(f"skipped: {name}: {result.note}")
        else:
            self.stored.add(str(result.path))
            what = printable(result.path)
            self._write(f"stored: {what}: {result.outcome}, {result.size_bytes:,} bytes")

    def fail(self, path: str, reason: str, name: str | None = None) -> None:
        """Take that a file is not stored, or not whole, for the record and for the user."""
        self.failures[path] = reason
        self.problems.append(f"{name or path}: {reason}")
        self._write(f"failed: {name or path}: {reason}")

    def fail_spooled(self, path: str, reason: str) -> None:
        """Take that S3 lacks what the spool still holds, or what can be made from it again."""
        self.left_in_spool = self.resumes = True
        self.fail(path, reason)

    @property
    def exit_code(self) -> int:
        """What `run --resume` ends with: 3 where a file failed, 6 where a later one cannot help."""
        if not self.failures:
            return 0
        is_final = self.left_in_spool and not self.resumes
        return (ConflictError if is_final else PartialFailureError).exit_code

    @property
    def resolved(self) -> set[str]:
        """The paths of which no failure is left."""
        return self.stored - self.failures.keys()
