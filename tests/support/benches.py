"""A bench: it has a token and the URL of a server, and nothing of AWS."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.serving import Serve, Server

# Of a running test; a bench has none of them.
_OF_AWS = ("AWS_", "ORCHESTRATOR_BUCKET")


def bench_environment(token: str | None) -> dict[str, str | None]:
    """Return what changes the tests' environment into that of a bench."""
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
class Bench:
    """How a bench calls the command: `cli("upload", id, path, *bench.via, env=bench.env)`."""

    server: Server
    tokens: Tokens
    url: str

    @property
    def via(self) -> tuple[str, str]:
        return "--via", self.url

    @property
    def env(self) -> dict[str, str | None]:
        return bench_environment(self.tokens.upload)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.upload}"}


def make_bench(serve: Serve, tokens: Tokens, *options: str) -> Bench:
    """Start a server that asks for tokens, and return a bench of it."""
    server = serve("--tokens", str(tokens.file), *options)
    return Bench(server, tokens, server.url)
