"""Whether a stream gets colours and the links of OSC 8, and where such a link leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# Terminals that say who they are; others would show nothing, or rubbish.
_VARIABLES = ("KITTY_WINDOW_ID", "KONSOLE_VERSION", "WT_SESSION", "DOMTERM", "ALACRITTY_WINDOW_ID")
_PROGRAMS = frozenset({"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio"})
_FIRST_VTE = 5000


def wants_colors(stream: Any, choice: str, environment: Mapping[str, str]) -> bool:
    """Return True if a stream gets colours: as --color says, or NO_COLOR, FORCE_COLOR and TERM."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return bool(stream.isatty()) and environment.get("TERM") != "dumb"


def knows_links(environment: Mapping[str, str]) -> bool:
    """Return True if the terminal is known to show links; FORCE_HYPERLINK decides it."""
    forced = environment.get("FORCE_HYPERLINK")
    if forced:
        return forced != "0"
    vte = environment.get("VTE_VERSION", "")
    return (
        any(environment.get(name) for name in _VARIABLES)
        or environment.get("TERM_PROGRAM") in _PROGRAMS
        or (vte.isdecimal() and int(vte) >= _FIRST_VTE)
    )


def console_url(bucket: str, key: str) -> str:
    """Return the page of an object, or of all below a prefix, in AWS's console."""
    kind = "buckets" if key.endswith("/") else "object"
    return f"https://console.aws.amazon.com/s3/{kind}/{bucket}?prefix={quote(key)}"
