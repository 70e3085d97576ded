"""Complete example responses for the OpenAPI document and the page at /docs."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.api.schemas import EXAMPLE_LOG_URL
from orchestrator_cli.core.gateway.messages.fields import EXAMPLE_ID

_LOG = {
    "path": "logs/stdout.log",
    "size_bytes": 1234,
    "checksum": f"sha256:{'0a' * 32}",
    "content_type": "text/plain; charset=utf-8",
}
_LISTED: dict[str, Any] = {
    "schema_version": 1,
    "execution_id": EXAMPLE_ID,
    "reservation_id": "r-4711",
    "runner_type": "onprem",
    "bench_id": "bench-7",
    "test_suite": "smoke",
    "result": "fail",
    "status": "completed",
    "liveness": None,
    "artifact_status": "complete",
    "started_at": "2026-01-30T08:00:00.000Z",
    "ended_at": "2026-01-30T08:12:30.000Z",
    "artifact_count": 1,
    "artifact_bytes": 1234,
    "manifest_sha256": "0b" * 32,
    "failures": [],
    "unfinished_uploads": [],
    "tree_stored": False,
    "labels": {"branch": "main"},
    "run": {
        "command": ["pytest", "-q"],
        "host": "bench-7",
        "pid": 4711,
        "tool_version": "0.1.0",
        "started_at": "2026-01-30T08:00:00.000Z",
        "ended_at": "2026-01-30T08:12:30.000Z",
        "duration_seconds": 750.0,
        "exit_code": 1,
        "signal": None,
        "timed_out": False,
        "summary": "FAILED tests/test_boot.py::test_voltage",
    },
}
EXECUTION: dict[str, Any] = {**_LISTED, "artifacts": [_LOG]}
EXECUTION_PAGE: dict[str, Any] = {
    "executions": [_LISTED],
    "unreadable": [],
    "next_cursor": "ZXhlY3V0aW9uczowMUpBQjNDNEQ1RTZGN0c4SDlKS01OUFFSUw",
}
FILE_PAGE: dict[str, Any] = {
    "execution_id": EXAMPLE_ID,
    "artifacts": [
        {
            **_LOG,
            "storage_class": "STANDARD",
            "restore": None,
            "etag": "098f6bcd4621d373cade4e832627b4f6",
            "last_modified": "2026-01-30T08:12:31Z",
            "url": EXAMPLE_LOG_URL,
        }
    ],
    "record": {
        "size_bytes": 912,
        "etag": "5f4dcc3b5aa765d61d8327deb882cf99",
        "last_modified": "2026-01-30T08:12:32Z",
    },
    "expires_at": "2026-01-31T09:00:00Z",
    "expiry_certain": True,
    "next_cursor": None,
}
