"""Command lines and labels without the secrets that are in them, so that they can be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from orchestrator_cli.core.base.text import without_secrets

MASK = "…"
# How the names of secrets end: API_TOKEN, --password, CLIENT_SECRET_V2, --ssh-key.
_SECRET = (
    r"(?:token|password|passwd|passphrase|[-_.](?:pass|pwd|key)|credentials?|secret\w*|api-?key)"
)
_NAME = rf"[\w.-]*{_SECRET}"
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s;&|<>()"']+)"""
_SECRET_NAME = re.compile(rf"{_NAME}$", re.IGNORECASE)
# NAME=value, --name=value, Name: value, "name": "value", anywhere in the text of a word.
_ASSIGNED = re.compile(rf"(?<![\w.-])({_NAME}[\"']?\s*[=:]\s*){_VALUE}", re.IGNORECASE)
# --name value in the text of a script.
_OPTION = re.compile(rf"(?<!\S)(--?{_NAME}\s+){_VALUE}", re.IGNORECASE)
# Shorter values of variables are as likely to be words of the command.
_SHORTEST_SECRET = 4
_LONGEST_WORD = 8192


def mask_command(words: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return the words of a command with every secret that can be told replaced by `…`.

    Those are the values of variables and options whose names say so, wherever they are in a word;
    the values of such variables of the `environment`; users and passwords of URLs. Words that are
    very long are cut.
    """
    return list(_masked_words(words, _secret_values(environment)))


def mask_labels(labels: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return labels with every secret that can be told replaced by `…`.

    Those are the values of labels whose names say so, and what `mask_command` finds in a word.
    """
    known = _secret_values(environment)
    return {
        name: MASK if text and _SECRET_NAME.match(name) else _masked(text, known)
        for name, text in labels.items()
    }


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    """Return the values of variables whose names say that they are secret, the longest first."""
    return sorted(_iter_secret_values(environment), key=len, reverse=True)


def _iter_secret_values(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _SECRET_NAME.match(name) and len(value) >= _SHORTEST_SECRET:
            yield value


def _masked_words(words: Iterable[str], known: list[str]) -> Iterator[str]:
    value_follows = False
    for word in words:
        yield MASK if value_follows else _masked(_shortened(word, known), known)
        value_follows = word.startswith("-") and _SECRET_NAME.match(word) is not None


def _shortened(word: str, known: list[str]) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    # Not in the middle of a secret.
    return _without(word, known)[:_LONGEST_WORD] + MASK


def _masked(text: str, known: list[str]) -> str:
    text = _without(text, known)
    for pattern in (_ASSIGNED, _OPTION):
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return without_secrets(text)


def _without(text: str, known: list[str]) -> str:
    for value in known:
        text = text.replace(value, MASK)
    return text
