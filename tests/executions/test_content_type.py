"""The type of a file follows from its name; what a browser may show does too."""

from __future__ import annotations

import pytest

from orchestrator_cli.core.executions.content_type import content_type_of, is_active


@pytest.mark.parametrize(
    "path",
    [
        "app.log.1",
        "app.log.12",
        "app.log-20260131",
        "app.log.2026-01-31",
        "artifacts/custom/var/log/syslog",
        "syslog.1",
        "messages",
        "messages-20260131",
        "dmesg",
        "console",
        "README",
    ],
)
def test_logs_without_a_suffix_are_text(path: str) -> None:
    assert content_type_of(path) == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("app.log.1.gz", "application/gzip"),
        ("lib.so.1", "application/octet-stream"),
        ("core", "application/octet-stream"),
        ("core.1234", "application/octet-stream"),
        ("syslog/core", "application/octet-stream"),
        ("report.html.1", "text/html; charset=utf-8"),
        (".1", "application/octet-stream"),
    ],
)
def test_other_names_with_a_number_have_the_type_of_their_ending(
    path: str, content_type: str
) -> None:
    assert content_type_of(path) == content_type


@pytest.mark.parametrize(
    ("suffixes", "active"),
    [
        ("log txt json jsonl png jpg webp gif mp4 webm pdf md csv", False),
        ("html htm xhtml svg xml xsl js mjs css mht shtml swf xht wasm bin", True),
    ],
)
def test_what_could_run_in_a_browser_is_active(suffixes: str, active: bool) -> None:
    for suffix in suffixes.split():
        assert is_active(content_type_of(f"a.{suffix}")) is active, suffix
