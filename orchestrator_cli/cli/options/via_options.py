"""The options of commands that work through an `orchestrator serve`, without AWS credentials."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from orchestrator_cli.cli.configuration.environment import (
    VIA_TOKEN_VARIABLE,
    VIA_VARIABLE,
    variable,
)

_TOKEN_HELP = f"A file with the token for --via.  [default: {VIA_TOKEN_VARIABLE}]"


class Via(NamedTuple):
    """The server, and the file that has the token for it."""

    url: str
    token_file: Path | None


def via_options(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --via, with this help, and --via-token-file; the function is given both as `via`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_via(*args: Any, **given: Any) -> Any:
            url, token_file = _server(given.pop("via")), given.pop("via_token_file")
            return function(*args, via=Via(url, token_file) if url else None, **given)

        token = click.option(
            "--via-token-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help=_TOKEN_HELP,
        )
        server = click.option("--via", metavar="URL", help=f"{text}  [default: {VIA_VARIABLE}]")
        return server(token(with_via))

    return decorate


def _server(url: str | None) -> str | None:
    """Return the server that was named; a variable comes before the config file."""
    source = click.get_current_context().get_parameter_source("via")
    is_named = source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return url if is_named else variable(VIA_VARIABLE) or url


read_via_option = via_options(
    "Read through this `orchestrator serve`; no credentials are needed here."
)
