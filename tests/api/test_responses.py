"""The JSON of `serve`, and the requests that pass without the general validation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from orchestrator_cli.api.json import encode
from tests.support.commands.serving import Serve, Server, problem
from tests.support.scene import Scene

NOWHERE = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
# FastAPI looks at the parameters of a request with a query, whatever its fields are called.
OTHER_FIELD = "?other=1"


def test_what_utf_8_cannot_encode_changes_nothing_else() -> None:
    record = {
        "text": 'é "\u2028\x1b',
        "numbers": [0, -1, 2**53, 1.5, True, None],
        "second": datetime(2026, 1, 30, 8, tzinfo=UTC),
        "microsecond": datetime(2026, 1, 30, 8, 0, 0, 120, tzinfo=UTC),
    }
    written = encode(record)
    assert json.loads(written) == record | {
        "second": "2026-01-30T08:00:00Z",
        "microsecond": "2026-01-30T08:00:00.000120Z",
    }
    escaped = encode(record | {"lone": "\udc80"})
    assert escaped == written[:-1] + rb',"lone":"\udc80"}'


def test_a_query_that_changes_nothing_gets_the_same_response(scene: Scene, serve: Serve) -> None:
    execution_id = scene.put_finished_execution({"logs/stdout.log": b"x\n"})
    server = serve()
    for path in (f"/executions/{execution_id}", f"/executions/{execution_id.lower()}"):
        plain, validated = server.get(path), server.get(path + OTHER_FIELD)
        assert plain.status == validated.status == 200
        assert plain.data == validated.data
        assert plain.headers["ETag"] == validated.headers["ETag"]
        assert files(server, f"{path}/artifacts") == files(server, f"{path}/artifacts{OTHER_FIELD}")
    for wrong, status, kind in ((NOWHERE, 404, "not-found"), ("x", 400, "usage")):
        for end in ("", "/artifacts"):
            path = f"/executions/{wrong}{end}"
            problem(server.get(path), status, kind)
            assert server.get(path).data == server.get(path + OTHER_FIELD).data


def files(server: Server, path: str) -> list[Any]:
    """Return the files of a page without their URLs, which change every few minutes."""
    page = server.get(path).json()
    assert [one["path"] for one in page["artifacts"]] == ["logs/stdout.log"]
    return [one | {"url": None} for one in page["artifacts"]]
