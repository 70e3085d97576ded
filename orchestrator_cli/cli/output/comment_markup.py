"""The markups that comments are written in. One more, for another forge or tracker, goes here."""

from __future__ import annotations

from typing import NamedTuple


class Markup(NamedTuple):
    """How a link, an item of a list and code are written, and the characters that act."""

    special: str
    link_form: str
    item_form: str
    code_form: str

    def escape(self, text: str) -> str:
        """Return text that is no formatting, link, mention or HTML."""
        return "".join(f"\\{one}" if one in self.special else one for one in text)

    def link(self, title: str, url: str) -> str:
        """Return a link; any text may be its title."""
        return self.link_form.format(title=self.escape(title), url=url)

    def item(self, text: str) -> str:
        """Return an item of a list."""
        return self.item_form.format(text)

    def code(self, text: str) -> str:
        """Return text that is shown as it is; it must hold nothing that acts."""
        return self.code_form.format(text)


MARKDOWN = Markup(r"\`*_{}[]<>()#+!|~&@", "[{title}](<{url}>)", "- {}", "`{}`")
JIRA = Markup(r"\{}[]|*_^~+-?!", "[{title}|{url}]", "* {}", "{{{{{}}}}}")

# By the name that `url --format` knows them by.
MARKUPS = {"markdown": MARKDOWN, "jira": JIRA}
