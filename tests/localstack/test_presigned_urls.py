"""Presigned URLs read one object until they expire, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from tests.support.commands.running import RunCommand
from tests.support.scene import write_tree

pytestmark = pytest.mark.localstack

LOG = b"\x1b[31mred\x1b[0m line\n" * 1000
_GIVE_UP_SECONDS = 20


@pytest.fixture
def stored(cli: RunCommand, execution_id: str, tmp_path: Path) -> str:
    """An execution with a log and a file whose name needs quoting."""
    tree = write_tree(tmp_path / "tree", {"stdout.log": LOG, "a b+ü%41.txt": b"odd"})
    cli("upload", execution_id, tree).ok()
    return execution_id


def sign(cli: RunCommand, *arguments: str) -> str:
    return cli("url", *arguments).ok().out.strip()


def get(url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", url, headers=headers, retries=False, timeout=10)


def test_a_url_reads_without_credentials_and_in_ranges(cli: RunCommand, stored: str) -> None:
    url = sign(cli, stored, "stdout")
    assert get(url).data == LOG
    part = get(url, Range="bytes=5-24")
    assert (part.status, part.data) == (206, LOG[5:25])
    assert get(sign(cli, stored, "artifacts/custom/a b+ü%41.txt")).data == b"odd"


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: replaced(url, "X-Amz-Expires=3600", "X-Amz-Expires=7200"),
        lambda url: replaced(url, "logs/stdout.log", "metadata.json"),
        lambda url: f"{url}&versionId=1",
    ],
    ids=["signature", "expiry", "key", "query"],
)
def test_a_tampered_url_is_refused(
    cli: RunCommand, stored: str, tamper: Callable[[str], str]
) -> None:
    url = sign(cli, stored, "stdout")
    answer = get(tamper(url))
    assert answer.status == 403
    assert LOG not in answer.data


def test_a_url_for_reading_does_not_write(cli: RunCommand, stored: str) -> None:
    url = sign(cli, stored, "stdout")
    for method in ("PUT", "DELETE"):
        answer = urllib3.request(method, url, retries=False, timeout=10)
        assert answer.status == 403
    assert get(url).data == LOG


def test_a_url_ends_when_it_says(cli: RunCommand, stored: str) -> None:
    """Asked again and again: the first refusal comes after the announced end, and with a reason."""
    [signed] = cli("url", stored, "stdout", "--expires-in", "1s", "--json").ok().json_lines()
    ends_at = datetime.fromisoformat(signed["expires_at"])
    assert parse_qs(urlsplit(signed["url"]).query)["X-Amz-Expires"] == ["1"]
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while (answer := get(signed["url"])).status == 200:
        assert time.monotonic() < deadline
    # The time in a signature has no fraction of a second.
    assert datetime.now(UTC).timestamp() >= int(ends_at.timestamp())
    assert answer.status == 403
    assert b"expired" in answer.data
