"""The page at /docs and the OpenAPI document are correct, and their examples work."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.api.docs import examples
from orchestrator_cli.api.reads.pagination import decode_cursor
from orchestrator_cli.api.schemas import ExecutionPage, ExecutionWithLiveness, File, FilePage
from orchestrator_cli.core.executions.record.metadata import Artifact, RunDetails
from orchestrator_cli.core.gateway.messages.fields import EXAMPLE_ID
from tests.support.commands.serving import WAIT, Serve, Server, problem
from tests.support.commands.via import Tokens
from tests.support.stored.executions import make_id, put_execution

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOG = b"one\ntwo\n"


@pytest.fixture
def server(serve: Serve, tokens: Tokens) -> Server:
    """A server that needs a token."""
    return serve("--tokens", str(tokens.file))


def page_of(server: Server, **headers: str) -> str:
    response = server.get("/docs", headers=headers)
    assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return response.data.decode()


def example_under(page: str, heading: str) -> str:
    """Return the example below a heading, as a reader would copy it."""
    found = re.search(rf"<h2>{heading}</h2>.*?<pre>(.*?)</pre>", page, re.DOTALL)
    assert found, heading
    return html.unescape(found[1])


def test_only_docs_and_openapi_need_no_token(server: Server) -> None:
    page = page_of(server)
    document = server.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert "422" not in operation["responses"]
            response = server.get(path.replace("{execution_id}", EXAMPLE_ID), method.upper())
            if "security" in operation:
                problem(response, 401, "unauthenticated")
            else:
                assert response.status == 200
    for method in ("POST", "PUT", "OPTIONS"):
        problem(server.get("/docs", method), 401, "unauthenticated")
    assert server.get("/docs", "HEAD").status == 200


def test_docs_is_one_file_without_scripts(server: Server) -> None:
    response = server.get("/docs")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    page = response.data.decode()
    assert not re.search(r"<script|<img|<link|(src|href)=.?(https?:|//)", page)
    assert re.findall(r'href="(.*?)"', page) == ["openapi.json"]


def test_examples_use_the_url_of_the_request(server: Server) -> None:
    name = {"Host": "logs.example"}
    assert '"http://logs.example/executions?' in html.unescape(page_of(server, **name))
    # TLS ends at the load balancer, which sets this header.
    page = page_of(server, **name, **{"X-Forwarded-Proto": "https"})
    assert '"https://logs.example/executions?' in html.unescape(page)
    assert "http://logs" not in page
    page = page_of(server, Host='a"><script>alert(1)</script>')
    assert "<script" not in page


def test_example_responses_are_valid_and_complete() -> None:
    execution = ExecutionWithLiveness.model_validate(examples.EXECUTION)
    assert execution.to_dict() == examples.EXECUTION
    assert examples.EXECUTION.keys() == ExecutionWithLiveness.model_fields.keys()
    assert examples.EXECUTION["run"].keys() == RunDetails.model_fields.keys()
    assert examples.EXECUTION["artifacts"][0].keys() == Artifact.model_fields.keys()
    listed = examples.EXECUTION_PAGE["executions"][0]
    assert listed.keys() == examples.EXECUTION.keys() - {"artifacts"}
    assert examples.EXECUTION_PAGE.keys() == ExecutionPage.model_fields.keys()
    ExecutionPage.model_validate(examples.EXECUTION_PAGE)
    assert decode_cursor("executions", examples.EXECUTION_PAGE["next_cursor"]) == EXAMPLE_ID
    FilePage.model_validate(examples.FILE_PAGE)
    assert examples.FILE_PAGE.keys() == FilePage.model_fields.keys()
    assert examples.FILE_PAGE["artifacts"][0].keys() == File.model_fields.keys()


def test_docs_shows_examples_and_describes_fields(server: Server) -> None:
    page = html.unescape(page_of(server))
    for shown in ('"test_suite": "smoke"', '"run": {', '"next_cursor": null', "Default: 100."):
        assert shown in page
    assert "One of: pass, fail, error." in page
    assert "<code>artifacts[].url</code><td>Null for a file in an archive class" in page
    assert "<tr><td>401<td>A valid bearer token is needed." in page


@pytest.fixture
def failed(s3: S3Client, bucket: str) -> list[str]:
    """Yesterday's failed executions of the suite that the page asks for, among others."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    ended: dict[str, Any] = {"status": "completed", "artifact_status": "complete"}

    def put(hour: float, result: str, suite: str) -> str:
        execution_id = make_id(day + timedelta(hours=hour))
        properties = {"result": result, "test_suite": suite, **ended}
        return put_execution(s3, bucket, execution_id, {"logs/stdout.log": LOG}, **properties)

    for hour, result, suite in ((-1, "fail", "smoke"), (2, "pass", "smoke"), (3, "fail", "x")):
        put(hour, result, suite)
    return [put(hour, "fail", "smoke") for hour in (0, 12, 23.9)]


def run(command: list[str], token: str, **more: str) -> str:
    environment = {"TOKEN": token, "PATH": "/usr/bin:/bin:/usr/local/bin", **more}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=WAIT, check=True
    )
    return done.stdout


def test_the_python_example_finds_the_logs(
    server: Server, tokens: Tokens, failed: list[str]
) -> None:
    script = example_under(page_of(server), "All of that in Python")
    lines = run([sys.executable, "-c", script], tokens.read).splitlines()
    told = [line.split() for line in lines]
    assert [(one[0], one[2]) for one in told] == [(one, "logs/stdout.log") for one in failed]
    for *_, url in told:
        assert server.http.request("GET", url).data == LOG


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_with_curl_find_executions_and_logs(
    server: Server, tokens: Tokens, failed: list[str]
) -> None:
    page = page_of(server)
    find = "set -e\n" + example_under(page, "Find executions")
    found = re.findall(r'"execution_id":"(\w+)"', run(["bash", "-c", find], tokens.read))
    # Three commands: yesterday, two days, and yesterday again, because CURSOR is not set.
    assert found[:3] == found[-3:] == failed
    assert set(found[3:-3]) >= set(failed)
    link = "set -e\n" + example_under(page, "Link a log")
    told = run(["bash", "-c", link], tokens.read, ID=failed[0]).encode()
    url, rest = told.split(b"\n", 1)
    assert server.http.request("GET", url.decode()).data == LOG
    assert rest.startswith(LOG + LOG)
    assert rest.count(b'"path":"logs/stdout.log"') == 1
    assert rest.count(b'"artifacts":[]') == 1
