"""The file of tokens while the server runs: a revoked token is denied at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands.serving import WAIT, Serve, Server, problem
from tests.support.commands.via import Tokens


@pytest.fixture
def server(serve: Serve, tokens: Tokens) -> Server:
    return serve("--tokens", str(tokens.file))


def status(server: Server, token: str) -> int:
    return server.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status


def await_told(server: Server) -> list[str]:
    """Return the log lines about the file of tokens; they may come after the response."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        told = [line for line in server.log if '"event": "tokens"' in line]
        if told:
            return told
        time.sleep(0.02)
    pytest.fail("nothing is told")


def revoke(tokens: Tokens, name: str) -> None:
    lines = tokens.file.read_text().splitlines(keepends=True)
    tokens.file.write_text("".join(line for line in lines if not line.startswith(f"{name} ")))


def test_an_invalid_line_leaves_the_other_tokens_valid(server: Server, tokens: Tokens) -> None:
    other = tokens.make("other")
    assert status(server, tokens.read) == status(server, other) == 200
    with tokens.file.open("a") as file:
        file.write("half a li")
    revoke(tokens, "reader")
    problem(
        server.get("/metrics", headers={"Authorization": f"Bearer {tokens.read}"}),
        401,
        "unauthenticated",
    )
    metrics = server.get("/metrics", headers={"Authorization": f"Bearer {other}"}).data.decode()
    assert "orchestrator_token_file_problem 1.0" in metrics
    assert "orchestrator_tokens 2.0" in metrics
    (told,) = await_told(server)
    assert "line 3" in told
    assert "half" not in told


def test_tokens_are_valid_again_once_the_file_is_readable(server: Server, tokens: Tokens) -> None:
    content = tokens.file.read_text()
    tokens.file.unlink()
    assert status(server, tokens.read) == 401
    assert status(server, tokens.read) == 401
    assert len(await_told(server)) == 1
    tokens.file.write_text(content)
    assert status(server, tokens.read) == 200
    assert server.get("/healthz").status == 200


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 1024**3)


@pytest.mark.parametrize("make", [make_fifo, make_endless, make_huge, Path.mkdir])
def test_an_unreadable_file_of_tokens_denies_everything(
    server: Server, tokens: Tokens, make: Callable[[Path], None]
) -> None:
    assert status(server, tokens.read) == 200
    tokens.file.unlink()
    make(tokens.file)
    assert status(server, tokens.read) == 401
    (told,) = await_told(server)
    assert "every request is denied" in told


def test_a_token_is_revoked_even_if_size_and_mtime_stay(server: Server, tokens: Tokens) -> None:
    assert status(server, tokens.read) == 200
    before = tokens.file.stat()
    content = tokens.file.read_text()
    name_and_hash = content.splitlines()[1]
    tokens.file.write_text(content.replace(name_and_hash, "#" * len(name_and_hash)))
    os.utime(tokens.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert status(server, tokens.read) == 401
