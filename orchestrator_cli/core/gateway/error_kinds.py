"""The names of error classes in the messages of `orchestrator serve`."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import (
    AccessError,
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)

# The word that stands for each class of error, in the `type` of a problem and for a single file.
ERROR_KINDS: dict[type[OrchestratorError], str] = {
    UsageError: "usage",
    NotFoundError: "not-found",
    AccessError: "storage-access",
    ConflictError: "conflict",
    IntegrityError: "integrity",
    ArchivedError: "archived",
    UnavailableError: "unavailable",
}
ERRORS_BY_KIND = {kind: error for error, kind in ERROR_KINDS.items()}
PROBLEM_TYPE = "application/problem+json"
PROBLEM_PREFIX = "urn:orchestrator:error:"


def kind_of_error(error: OrchestratorError) -> str:
    """Return the word for an error, `unexpected` where there is none."""
    kinds = (ERROR_KINDS[one] for one in type(error).__mro__ if one in ERROR_KINDS)
    return next(kinds, "unexpected")
