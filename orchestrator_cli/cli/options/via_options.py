"""The options of commands that work through an `orchestrator serve`, without AWS credentials."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_TOKEN_HELP = "A file with the token for --via.  [default: ORCHESTRATOR_VIA_TOKEN]"


@dataclass(frozen=True, slots=True)
class Via:
    """The server, and the file that has the token for it."""

    url: str
    token_file: Path | None


def via_options(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --via, with this help, and --via-token-file; the function is given both as `via`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_via(*args: Any, **given: Any) -> Any:
            url, token_file = given.pop("via"), given.pop("via_token_file")
            return function(*args, via=Via(url, token_file) if url else None, **given)

        token = click.option(
            "--via-token-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help=_TOKEN_HELP,
        )
        server = click.option("--via", metavar="URL", envvar="ORCHESTRATOR_VIA", help=text)
        return server(token(with_via))

    return decorate


read_via_option = via_options(
    "Read through this `orchestrator serve`; no credentials are needed here."
)
