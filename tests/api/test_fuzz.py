"""The API against its own OpenAPI document: generated requests, valid and invalid ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as openapi

from tests.support.commands.serving import Serve
from tests.support.commands.via import Tokens
from tests.support.stored.executions import put_finished_execution

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# To run other and more requests: API_FUZZ_SEED=7 API_FUZZ_EXAMPLES=500.
SEED = int(os.environ.get("API_FUZZ_SEED", "1"))
EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "4"))
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


# Who asks, and the statuses that such requests must get at least once.
ASKING = {
    "nobody": {"200", "400", "404"},
    "wrong": {"200", "401"},
    "read": {"200", "400", "403", "404"},
    "upload": {"200", "400", "403"},
    "bench": {"200", "400", "403"},
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_generated_request_causes_a_server_error(
    mode: schemathesis.GenerationMode,
    asking: str,
    serve: Serve,
    tokens: Tokens,
    s3: S3Client,
    bucket: str,
) -> None:
    execution = put_finished_execution(s3, bucket, {"logs/stdout.log": b"one\ntwo\n"})
    other = tokens.make("other", "--scope", "upload", "--bench", "bench-7")
    known = {"wrong": "orc_no", "read": tokens.read, "upload": tokens.upload, "bench": other}
    server = serve(*([] if asking == "nobody" else ["--tokens", str(tokens.file)]))
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    with requests.Session() as session:
        if asking in known:
            session.headers["Authorization"] = f"Bearer {known[asking]}"
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            # An operation without parameters has no invalid requests.
            if operation.path_parameters or operation.query or operation.body:
                _fuzz(operation.as_strategy(generation_mode=mode), execution, session)
    statuses = {line.partition('"status": ')[2][:3] for line in server.log if line[:1] == "{"}
    assert statuses >= ASKING[asking]
    assert not [line for line in server.log if "Traceback" in line or '"error"' in line]


def _fuzz(cases: Any, execution: str, session: requests.Session) -> None:
    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
        derandomize=False,
    )
    @hypothesis.given(case=cases, real=st.booleans())
    def ask(case: Any, real: bool) -> None:
        if real and "execution_id" in (case.path_parameters or {}):
            # A generated id hardly ever exists.
            case.path_parameters["execution_id"] = execution
        case.call_and_validate(session=session, checks=CHECKS, allow_redirects=False, timeout=60)

    ask()
