"""Text that is plain text in Markdown and in Jira."""

from __future__ import annotations

MARKDOWN = r"\`*_{}[]<>()#+!|~&@"
JIRA = r"\{}[]|*_^~+-?!"


def escape(text: str, special: str) -> str:
    """Return text that is no formatting, link, mention or HTML."""
    return "".join(f"\\{one}" if one in special else one for one in text)
