"""The queries and responses of the log endpoints."""

from __future__ import annotations

from pydantic import BaseModel, Field

from orchestrator_cli.api.logs.log_search import SearchMode, SearchQuery
from orchestrator_cli.core.base.errors import UsageError

MAX_HITS = 10_000


class LinePosition(BaseModel):
    """The position of a line in a log."""

    line: int = Field(examples=[4_000_000], description="The number of the line, from 1.")
    offset: int = Field(examples=[268435456], description="The offset of its first byte.")


class LogErrors(BaseModel):
    """The lines of a log that show an error, at most the first thousand."""

    known: bool = Field(
        description="False if the log has no index and none was computed: it is still being "
        "written, is empty, or is too large."
    )
    errors: list[LinePosition]
    searched_bytes: int = Field(description="How many bytes of the log were searched for errors.")


class LogSearchQuery(BaseModel):
    """The query string of a search."""

    q: str = Field(default="", max_length=1000, description="The text to search for.")
    mode: SearchMode = Field(
        default=SearchMode.TEXT,
        description="Search for q as text, for q as an RE2 regular expression, or for errors.",
    )
    case: bool = Field(default=False, description="Distinguish upper and lower case.")
    start: int = Field(
        default=0, ge=0, le=2**53, alias="from", description="The offset to search from."
    )
    limit: int = Field(default=1000, ge=1, le=MAX_HITS, description="The most lines to return.")

    def parsed(self) -> SearchQuery:
        """Return the parsed query. Raises UsageError."""
        if self.mode is not SearchMode.ERRORS and not self.q:
            raise UsageError("q: nothing to search for")
        return SearchQuery(self.q, self.mode, self.start, self.limit, not self.case)
