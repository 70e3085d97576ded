"""A server that answers nonsense is told to be none; it is never an unexpected error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.running import Result, RunCommand
from tests.support.commands.small_scale import hurry
from tests.support.commands.via import via_environment
from tests.support.servers.scripted import Peer, scripted
from tests.support.stored.executions import make_id

ID = make_id()
TERMS = {
    "execution_id": ID,
    "status": "running",
    "failures": [],
    "content_md5": False,
    "base_part_bytes": 8 * 1024 * 1024,
    "max_files": 10,
    "max_parts": 10,
    "max_changes": 10,
}


@pytest.mark.parametrize(
    "terms",
    [
        {"max_files": 0},
        {"max_changes": 0},
        {"max_changes": -1},
        {"base_part_bytes": "many"},
        {"failures": None},
        {"status": ["running"]},
    ],
)
def test_terms_that_nobody_can_keep_are_no_servers(
    terms: dict[str, Any], cli: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")

    def answer_everything(peer: Peer) -> None:
        while True:
            peer.request()
            peer.answer(
                json.dumps(TERMS | terms).encode(), "200 OK", "Content-Type: application/json"
            )

    with scripted(answer_everything) as server:
        upload = ("upload", ID, tmp_path / "a.txt", "--via", server.url)
        result = cli(*upload, env=via_environment("token")).expect(2)
    assert "is no `orchestrator serve`" in result.err


FILE = {
    "path": "logs/stdout.log",
    "url": "http://127.0.0.1:1/?X-Amz-Expires=60&X-Amz-Date=20260101T000000Z",
    "size_bytes": 1,
    "etag": "e",
    "last_modified": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    "told",
    [
        {"url": ["http://127.0.0.1/"]},
        {"url": f"http://127.0.0.1/?X-Amz-Date=20260101T000000Z&X-Amz-Expires={'9' * 30}"},
        {"url": "file:///etc/passwd?X-Amz-Expires=60&X-Amz-Date=20260101T000000Z"},
        {"size_bytes": float("inf")},
        {"restore": "soon"},
    ],
)
def test_a_list_of_files_that_nobody_can_read_is_no_servers(
    told: dict[str, Any], cli: RunCommand
) -> None:
    page = {"expiry_certain": True, "record": None, "next_cursor": None}

    def answer_everything(peer: Peer) -> None:
        while True:
            peer.request()
            record = page | {"artifacts": [FILE | told]}
            peer.answer(json.dumps(record).encode(), "200 OK", "Content-Type: application/json")

    with scripted(answer_everything) as server:
        line = ("logs", ID, "--via", server.url)
        result = cli(*line, env=via_environment("token")).expect(2)
    assert "is no `orchestrator serve`" in result.err


PAGE = b"<html>Log in</html>"
HTML = "Content-Type: text/html"
NOT_THERE = b'{"type": "urn:orchestrator:error:not-found", "detail": "no such execution"}'
BUSY = b'{"type": "urn:orchestrator:error:busy", "detail": "too many requests at once"}'
SLOW_DOWN = b'{"type": "urn:orchestrator:error:unavailable", "detail": "-", "code": "SlowDown"}'
PROBLEM = "Content-Type: application/problem+json"


def show_via(
    cli: RunCommand, *answers: tuple[bytes, str, str], command: tuple[str, ...] = ("show", ID)
) -> tuple[Result, int, str]:
    """Show an execution through a server that answers so, the last answer again and again.

    Returns what came of it, how many requests there were, and the server's URL.
    """
    left = list(answers)

    def answer(peer: Peer) -> None:
        while True:
            peer.request()
            body, *head = left.pop(0) if len(left) > 1 else left[0]
            peer.answer(body, *head)

    with scripted(answer) as server:
        result = cli(*command, "--via", server.url, env=via_environment("token"))
    return result, len(server.requests), server.url


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((PAGE, "200 OK", HTML), "what answered at {url} is no `orchestrator serve`\n"),
        ((PAGE, "403 Forbidden", HTML), "what answered at {url} is no `orchestrator serve`\n"),
        ((PAGE, "500 Internal Server Error", HTML), "{url} answered 500\n"),
        (
            (b"", "302 Found", "Location: https://login.example.net/x?token=t"),
            "is no `orchestrator serve`: it redirects to https://login.example.net\n",
        ),
    ],
)
def test_what_is_not_the_server_may_pass(
    answer: tuple[bytes, str, str], told: str, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch.setattr)
    result, requests, url = show_via(cli, answer)
    assert result.expect(9).err.count(told.format(url=url)) == 1
    assert requests == 6
    # As soon as the server is there again, all is well.
    result, requests, _ = show_via(cli, *[answer] * 3, (NOT_THERE, "404 Not Found", PROBLEM))
    result.expect(4)
    assert requests == 4


def test_a_portal_instead_of_the_url_of_a_log_may_pass(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch.setattr)
    answer = (b"", "307 Temporary Redirect", "Location: https://login.example.net/x?token=t")
    result, requests, _ = show_via(cli, answer, command=("logs", ID, "stdout.log"))
    assert "it redirects to https://login.example.net\n" in result.expect(9).err
    assert requests == 6


def test_a_wrong_url_and_a_proxy_without_credentials_are_told_at_once(cli: RunCommand) -> None:
    result, requests, _ = show_via(cli, (PAGE, "404 Not Found", HTML))
    assert "check --via" in result.expect(2).err
    result, more, _ = show_via(cli, (b"", "407 Proxy Authentication Required", "X-A: b"))
    assert "the proxy asks for credentials" in result.expect(5).err
    assert (requests, more) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        (PAGE, "503 Service Unavailable", HTML),
        (b"", "429 Too Many Requests", "Retry-After: 0"),
        (BUSY, "503 Service Unavailable", PROBLEM),
        (SLOW_DOWN, "503 Service Unavailable", PROBLEM),
    ],
)
def test_patience_and_not_the_number_of_tries_limits_a_server_that_is_busy(
    answer: tuple[bytes, str, str], cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch.setattr, patience_seconds=20)
    result, requests, _ = show_via(cli, *[answer] * 12, (NOT_THERE, "404 Not Found", PROBLEM))
    result.expect(4)
    assert requests == 13
    hurry(monkeypatch.setattr, patience_seconds=0.05)
    result, _, _ = show_via(cli, answer)
    result.expect(9)
