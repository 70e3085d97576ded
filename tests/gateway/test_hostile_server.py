"""A server that answers nonsense is told to be none; it is never an unexpected error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.running import RunCommand
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
