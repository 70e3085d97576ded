"""Links to the pages that `orchestrator serve` has at --ui-url."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator_cli.cli.output import Messages


class PageLinks:
    """Makes the address of a page, where --ui-url is configured."""

    def __init__(self, ui_url: str | None, messages: Messages) -> None:
        self._ui_url = ui_url
        self._messages = messages

    def url(self, execution_id: str, log: str = "") -> str | None:
        """Return the page of an execution, or of a log of it; None where none is configured.

        Raises UsageError for an invalid --ui-url.
        """
        if not self._ui_url:
            return None
        from orchestrator_cli.core.executions.urls import page_url
        from orchestrator_cli.core.http.url import parse_service_url

        base = parse_service_url(self._ui_url, "--ui-url", "https://tests.example.com")
        return page_url(base.url, execution_id, log)

    def check(self) -> None:
        """Raise UsageError for an invalid --ui-url, before anything is done."""
        _ = self.url("")

    def url_or_warn(self, execution_id: str) -> str | None:
        """Return the page as `url` does, but warn of an invalid --ui-url instead of raising."""
        try:
            return self.url(execution_id)
        except UsageError as error:
            # The execution is stored already: a wrong link is no failure of that.
            self._messages.warn(error.message)
            return None

    def note(self, execution_id: str) -> None:
        """Print the page of an execution to standard error, where one is configured."""
        page = self.url_or_warn(execution_id)
        if page:
            self._messages.note(page)
