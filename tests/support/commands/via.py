"""A machine with a token and the URL of a server, and without AWS credentials."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands.serving import Serve, Server

# Of a running test; the machine has none of them.
_OF_AWS = ("AWS_", "ORCHESTRATOR_BUCKET")


def via_environment(token: str | None) -> dict[str, str | None]:
    """Return what changes the tests' environment into that of a machine with only this token."""
    without: dict[str, str | None] = {name: None for name in os.environ if name.startswith(_OF_AWS)}
    # A client that looked for credentials would find these, and fail.
    broken = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    return {**without, **broken, "ORCHESTRATOR_VIA_TOKEN": token}


@dataclass(frozen=True)
class Tokens:
    """A server's file of tokens, and one token of each kind."""

    file: Path
    make: Callable[..., str]
    upload: str
    read: str


@dataclass(frozen=True)
class Via:
    """How a command goes through a server: `cli("upload", id, path, *via.options, env=via.env)`."""

    server: Server
    tokens: Tokens
    url: str

    @property
    def options(self) -> tuple[str, str]:
        return "--via", self.url

    @property
    def env(self) -> dict[str, str | None]:
        return via_environment(self.tokens.upload)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.upload}"}


def make_via(serve: Serve, tokens: Tokens, *options: str) -> Via:
    """Start a server that asks for tokens, and return how to go through it."""
    server = serve("--tokens", str(tokens.file), *options)
    return Via(server, tokens, server.url)
