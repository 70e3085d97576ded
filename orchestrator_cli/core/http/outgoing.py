"""The head of a request, and a body that is as long as the head says."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.http.request_body import IN_MEMORY, Body, ExactBody, WireBody

_OF_CREDENTIALS = frozenset({"authorization", "x-amz-security-token"})
_STRAY = "\r\n\0"


def prepare(
    method: str, always: Mapping[str, str], headers: Mapping[str, str], body: Body
) -> tuple[dict[str, str], WireBody]:
    """Return the headers, names in lower case, and the body.

    Raises ValueError where a body that is read while it is sent has no length among the headers.
    """
    named = {**always, **{name.lower(): text for name, text in headers.items()}}
    if not isinstance(body, IN_MEMORY):
        return named, ExactBody(body, int(named.get("content-length", "")))
    if body or method in ("PUT", "POST"):
        named["content-length"] = str(len(body))
    return named, body


def render_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head as it is sent.

    Raises UsageError for what would be more than one, AccessError where credentials are at fault.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    text = "\r\n".join([*lines, "", ""])
    # A line break in a name or value would begin a header, or a request, of somebody else's.
    ends = len(lines) + 1
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text or " " in target:
        raise _unsendable(headers)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise _unsendable(headers) from error


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise what `render_head` raises for headers that cannot be sent."""
    render_head("", "", headers)


def _unsendable(headers: Mapping[str, str]) -> OrchestratorError:
    at_fault = next((name for name, text in headers.items() if not _is_sendable(text)), None)
    hint = "look for a line break at its end, as of a file it was read from"
    if at_fault in _OF_CREDENTIALS:
        return AccessError("the credentials have characters that none can have", hint=hint)
    what = f"the header {at_fault}" if at_fault else "the URL"
    return UsageError(f"{what} has characters that cannot be sent", hint=hint)


def _is_sendable(text: str) -> bool:
    return not any(one in _STRAY or one > "\xff" for one in text)
