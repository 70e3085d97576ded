"""Make text from outside safe for messages: no secrets, and nothing a terminal would act on."""

from __future__ import annotations

import re

# Bidirectional overrides and isolates can make a name read as another one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# A signed query string; elements of S3's error responses; headers as proxies show them; user and
# password of a URL.
_SECRETS = (
    r"(?i)(?P<keep>)[?&][^\s\"'<>?]*X-Amz-[^\s\"'<>]*",
    r"(?P<keep><[\w-]*(Token|Secret|Sign|Credential|Canonical|AccessKey)[\w-]*>)[^<]*",
    r"(?i)(?P<keep>\b(x-amz-security-token|signature|credential|authorization)\W{0,3}[:=])[^\n,&<]*",
    r"(?P<keep>://)[^\s/\"'<>]+(?=@)",
)
_URL = r"""[^\s"'<>]*(://|X-Amz-)[^\s"'<>]*"""
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(name: object) -> str:
    """Return a name from outside with everything a terminal would act on escaped."""
    text = str(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    # Most names never need it.
    from unicodedata import category

    if character in _BIDI or category(character) in _ESCAPED_CATEGORIES:
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")
    return character


def without_secrets(text: str) -> str:
    """Return a text, as of a traceback, without what could be used to sign or to pass as us.

    Servers repeat our own request in some error responses, its session token included.
    """
    for pattern in _SECRETS:
        text = re.sub(pattern, r"\g<keep>…", text)
    return text


def without_urls(text: object) -> str:
    """Return a text for a message; a presigned URL in it would be a credential."""
    return printable(re.sub(_URL, "…", str(text)))
