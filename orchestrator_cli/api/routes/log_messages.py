"""The queries and responses of the log endpoints."""

from __future__ import annotations

from pydantic import BaseModel, Field

from orchestrator_cli.api.logs.log_search import SearchMode, SearchQuery
from orchestrator_cli.core.base.errors import UsageError

MAX_HITS = 10_000


class LinePlace(BaseModel):
    """Where a line is."""

    line: int = Field(examples=[4_000_000], description="Its number, from 1.")
    offset: int = Field(examples=[268435456], description="Where it begins, in bytes.")


class LogErrors(BaseModel):
    """The lines that tell of an error, the first thousand."""

    known: bool = Field(description="False where nobody has made an index of the log.")
    errors: list[LinePlace]
    searched_bytes: int = Field(description="Behind so many bytes, nobody has looked for errors.")


class LogSearchQuery(BaseModel):
    """The query string of a search."""

    q: str = Field(default="", max_length=1000, description="What to search for.")
    mode: SearchMode = Field(
        default=SearchMode.TEXT,
        description="q as it is, as an expression of RE2, or words that tell of errors.",
    )
    case: bool = Field(default=False, description="Tell upper from lower case.")
    start: int = Field(
        default=0, ge=0, le=2**53, alias="from", description="Where to begin, in bytes."
    )
    limit: int = Field(default=1000, ge=1, le=MAX_HITS, description="The most lines to find.")

    def parsed(self) -> SearchQuery:
        """Return the parsed query. Raises UsageError."""
        if self.mode is not SearchMode.ERRORS and not self.q:
            raise UsageError("q: nothing to search for")
        return SearchQuery(self.q, self.mode, self.start, self.limit, not self.case)
