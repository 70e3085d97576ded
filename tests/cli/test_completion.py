"""What a shell is offered while typing: asked from S3, and never a disturbance."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RunCommand
from tests.support.executions import make_id, put_execution, put_keys
from tests.support.faults import access_denied
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {
    "artifacts/custom/a b,c.txt": b"x",
    "artifacts/results.json": b"{}",
    "logs/stdout.log": b"",
}


class Complete:
    """Asks as bash does: `complete("show", "01")` is `orchestrator show 01<Tab>`."""

    def __init__(self, cli: RunCommand) -> None:
        self._cli = cli

    def __call__(self, *words: str, env: dict[str, str | None] | None = None) -> list[str]:
        asked = {
            "_ORCHESTRATOR_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["orchestrator", *words]),
            "COMP_CWORD": str(len(words)),
        }
        result = self._cli(env={**asked, **(env or {})}).ok()
        assert result.stderr == b""
        offers = [line.partition(",") for line in result.lines if line]
        return [value if kind == "plain" else f"<{kind}>" for kind, _, value in offers]


@pytest.fixture
def complete(cli: RunCommand) -> Complete:
    return Complete(cli)


@pytest.fixture
def ids(s3: S3Client, bucket: str) -> list[str]:
    """Executions of ten days ago, of an hour ago and of now, the newest first."""
    now = datetime.now(UTC)
    times = [now, now - timedelta(hours=1), now - timedelta(days=10)]
    put_execution(s3, bucket, make_id(now - timedelta(days=20)), FILES)
    put_keys(s3, bucket, ["executions/zzz/x", "executions/[red]/x"])
    return [put_execution(s3, bucket, make_id(one), FILES) for one in times]


def test_commands_and_options_are_offered(complete: Complete) -> None:
    assert {"ls", "logs", "url"} <= set(complete(""))
    assert complete("fin") == ["finish"]
    assert "--since" in complete("ls", "--s")
    assert complete("finish", "X", "--result", "") == ["pass", "fail", "error"]


@pytest.mark.parametrize("command", ["show", "ls", "logs", "upload"])
def test_ids_are_offered_the_newest_first(complete: Complete, ids: list[str], command: str) -> None:
    assert complete(command, "") == ids
    assert complete(command, ids[2][:9].lower()) == [ids[2]]


def test_latest_is_offered_where_it_was_begun(complete: Complete, ids: list[str]) -> None:
    assert complete("show", "@") == ["@latest"]
    assert "@latest" not in complete("show", "")


def test_fifty_ids_are_enough(complete: Complete, s3: S3Client, bucket: str) -> None:
    made = [make_id(number=number) for number in range(60)]
    put_keys(s3, bucket, [f"executions/{one}/x" for one in made])
    assert complete("show", "") == sorted(made, reverse=True)[:50]


@pytest.mark.parametrize("command", ["logs", "url"])
def test_file_names_are_offered_after_the_id(
    complete: Complete, ids: list[str], command: str
) -> None:
    for name in (ids[1], ids[1].lower(), "@latest"):
        assert complete(command, name, "") == list(FILES)
    assert complete(command, ids[1], "artifacts/r") == ["artifacts/results.json"]
    preset: dict[str, str | None] = {"ORCHESTRATOR_EXECUTION_ID": ids[1]}
    assert complete(command, "", env=preset) == list(FILES)


def test_local_files_are_offered_to_an_upload(complete: Complete, ids: list[str]) -> None:
    assert complete("upload", ids[0], "") == ["<file>"]


def test_a_second_file_name_is_offered_too(complete: Complete, ids: list[str]) -> None:
    assert complete("url", ids[0], "logs/stdout.log", "art") == list(FILES)[:2]


def test_foreign_names_are_not_offered(complete: Complete, s3: S3Client, bucket: str) -> None:
    execution_id = put_execution(s3, bucket, files=FILES)
    prefix = f"executions/{execution_id}"
    put_keys(s3, bucket, [f"{prefix}/a//b", f"{prefix}/../x", f"{prefix}/\x9b31mred"])
    assert complete("logs", execution_id, "") == list(FILES)


def test_options_on_the_line_count(
    complete: Complete, s3env: dict[str, str], ids: list[str], bucket: str
) -> None:
    elsewhere: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None, "AWS_ENDPOINT_URL": None}
    line = ("--bucket", bucket, "--endpoint-url", s3env["AWS_ENDPOINT_URL"], "show", "")
    assert complete(*line, env=elsewhere) == ids


def test_the_config_file_counts(
    complete: Complete, ids: list[str], bucket: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'bucket = "{bucket}"\n')
    env: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None}
    assert complete("show", "", env={**env, "ORCHESTRATOR_CONFIG": str(config)}) == ids
    assert complete("--config", str(config), "show", "", env=env) == ids


# --- silence ---------------------------------------------------------------------------------


def test_nothing_is_offered_where_nothing_is_configured(complete: Complete, bucket: str) -> None:
    nowhere: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None}
    assert complete("show", "", env=nowhere) == []
    assert complete("logs", make_id(), "", env=nowhere) == []
    broken: dict[str, str | None] = {"ORCHESTRATOR_CONFIG": os.devnull + "/x", **nowhere}
    assert complete("show", "", env=broken) == []


def test_nothing_is_offered_of_what_is_not_there(complete: Complete, ids: list[str]) -> None:
    assert complete("logs", make_id(number=5), "") == []
    assert complete("logs", "nonsense", "") == []
    assert complete("show", "nonsense") == []


def test_a_storage_that_is_down_is_asked_once(complete: Complete, bucket: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down: dict[str, str | None] = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"
        }
        started = time.monotonic()
        assert complete("show", "", env=down) == []
        assert complete("logs", make_id(), "", env=down) == []
        assert time.monotonic() - started < 20


def test_a_refusal_is_not_repeated(complete: Complete, ids: list[str], recorder: Proxy) -> None:
    recorder.inject(access_denied(), times=None)
    assert complete("show", "") == []
    assert recorder.count() == 1
