"""Credentials that end in the middle are refreshed; wrong ones are one clear error, exit code 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenarios.commands import (
    CASES,
    Bench,
    Case,
    Run,
    check_failure,
    check_success,
    find_targets,
    key_pattern,
)
from tests.support import faults
from tests.support.operations import Request
from tests.support.proxy import Proxy
from tests.support.rules import Rule
from tests.support.running import Result, RunCommand
from tests.support.secrets import check_no_secrets
from tests.support.session_credentials import (
    CredentialsEndpoint,
    OnlyCurrent,
    run_credentials_endpoint,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[CredentialsEndpoint]:
    """Session credentials, as a container gets them; the environment leads there."""
    # Where the endpoint is down, botocore sleeps a second before it asks again.
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with run_credentials_endpoint() as running:
        yield running


@pytest.fixture
def bench(recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path) -> Bench:
    return Bench(recorder, s3, bucket, tmp_path)


@pytest.fixture
def run(cli: RunCommand, recorder: Proxy, endpoint: CredentialsEndpoint) -> Run:
    """Run a case with credentials of the endpoint, every output searched for secrets."""

    def run_case(case: Case) -> Result:
        result = cli("--debug", *case.arguments, stdin=case.stdin, env=endpoint.environment)
        recorder.settle()
        check_no_secrets(result, *endpoint.secrets)
        return result

    return run_case


@pytest.mark.parametrize("command", CASES)
def test_credentials_that_end_at_any_request_are_refreshed(
    bench: Bench, run: Run, endpoint: CredentialsEndpoint, command: str
) -> None:
    """They are refused long before they said they would end, so S3's answer must be the reason."""
    for target in find_targets(bench, command, run):
        case = CASES[command](bench)
        which: dict[str, Any] = {
            "key": key_pattern(target, case),
            "part_number": target.part_number,
        }
        trigger = Rule(faults.Fault(), target.operation, nth=target.nth, **which)
        expiry = OnlyCurrent(endpoint=endpoint, trigger=trigger)
        bench.proxy.rules.append(expiry)
        fetches = endpoint.fetches
        result = run(case)
        bench.proxy.heal()
        check_success(bench, case, result, f"expired at {target}")
        assert trigger.struck == 1
        assert expiry.struck >= 1
        # One at the start; then threads that are refused together share a refresh.
        assert endpoint.fetches - fetches <= 2 + expiry.struck, target


@pytest.mark.parametrize("command", CASES)
def test_credentials_of_seconds_are_fetched_anew_in_time(
    bench: Bench, run: Run, endpoint: CredentialsEndpoint, command: str
) -> None:
    """Each answer of the endpoint is a new key, and the third ends the first."""
    endpoint.lifetime = timedelta(seconds=5)
    endpoint.rotates_itself = True
    bench.proxy.rules.append(OnlyCurrent(endpoint=endpoint, grace=2))
    case = CASES[command](bench)
    bench.proxy.clear()
    check_success(bench, case, run(case), "short-lived credentials")
    # A short log is one request.
    assert endpoint.fetches >= min(2, bench.proxy.count())
    assert command == "logs" or bench.proxy.count() > 1


@dataclass
class Outage(Rule):
    """At its first match the credentials end, and the endpoint is down for so many requests."""

    endpoint: CredentialsEndpoint | None = None
    requests: int = 0

    def strikes(self, request: Request, chance: Random) -> bool:
        if super().strikes(request, chance):
            assert self.endpoint is not None
            self.endpoint.outages = self.requests
            self.endpoint.rotate()
        return False


def test_an_endpoint_that_is_down_for_a_moment_is_asked_again(
    bench: Bench, run: Run, endpoint: CredentialsEndpoint
) -> None:
    case = CASES["upload-large"](bench)
    outage = Outage(faults.Fault(), "UploadPart", nth=2, endpoint=endpoint, requests=5)
    bench.proxy.rules.extend([outage, OnlyCurrent(endpoint=endpoint)])
    check_success(bench, case, run(case), "the endpoint was down")
    assert endpoint.outages == 0


def test_an_endpoint_that_stays_down_costs_nothing_that_was_stored(
    bench: Bench, run: Run, endpoint: CredentialsEndpoint
) -> None:
    case = CASES["upload-large"](bench)
    complete = "CompleteMultipartUpload"
    outage = Outage(faults.Fault(), complete, endpoint=endpoint, requests=1_000_000)
    bench.proxy.rules.extend([outage, OnlyCurrent(endpoint=endpoint)])
    result = run(case)
    bench.proxy.heal()
    assert result.exit_code == 5
    assert result.err.count("\nerror: ") == 1
    assert "no usable credentials" in result.err
    endpoint.outages = 0
    sent = bench.proxy.request_bytes("UploadPart")
    check_success(bench, case, run(case), "the endpoint is back")
    assert bench.proxy.request_bytes("UploadPart") == sent


def test_credentials_expired_on_arrival_are_exit_5_and_name_the_clock(
    bench: Bench, cli: RunCommand, endpoint: CredentialsEndpoint
) -> None:
    """So it looks where this machine's clock is ahead of the rest of the world."""
    case = CASES["upload-small"](bench)
    endpoint.lifetime = timedelta(hours=-1)
    result = cli(*case.arguments, env=endpoint.environment)
    check_failure(bench, case, result, {5}, "expired on arrival")
    assert "clock" in result.err
    assert len(result.err.splitlines()) == 2


# --- what no refresh can mend ----------------------------------------------------------------

REFUSALS = {
    "expired": (faults.expired_token(), "expired"),
    "unknown-key": (faults.wrong_credentials(), "does not know the access key"),
    "wrong-secret": (faults.Answer(403, "SignatureDoesNotMatch"), "secret key"),
    "wrong-token": (faults.Answer(400, "InvalidToken"), "session token"),
    "denied": (faults.access_denied(), "denied"),
    "clock": (
        faults.Answer(
            403,
            "RequestTimeTooSkewed",
            headers={"Date": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)},
        ),
        "clock",
    ),
}
STATIC = {"AWS_SECRET_ACCESS_KEY": "aSecretThatIsLongEnough", "AWS_SESSION_TOKEN": "t" * 40}


@pytest.mark.parametrize("why", REFUSALS)
@pytest.mark.parametrize("command", CASES)
def test_static_credentials_that_are_refused(
    bench: Bench, cli: RunCommand, command: str, why: str
) -> None:
    fault, words = REFUSALS[why]
    case = CASES[command](bench)
    bench.proxy.inject(fault, times=None)
    bench.proxy.clear()
    result = cli("--debug", *case.arguments, stdin=case.stdin, env=STATIC)
    plain = cli(*case.arguments, stdin=case.stdin, env=STATIC)
    calls = len(bench.proxy.calls())
    bench.proxy.heal()
    check_no_secrets(result, *STATIC.values())
    check_failure(bench, case, plain, {5}, why)
    assert words in plain.err
    # The error, what to do, and where that is all it takes the command to give again.
    again = "run the same command again" in plain.err
    assert len(plain.err.splitlines()) == (3 if again else 2), plain.err
    # Refused for good: asking again helps nobody. A large file is looked up with its record.
    assert calls <= (8 if command == "upload-large" else 4)
    check_success(bench, case, cli(*case.arguments, stdin=case.stdin), f"after {why}")


def test_the_clock_is_reported_once_for_many_files(
    bench: Bench, cli: RunCommand, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number}.txt").write_bytes(b"x" * number)
    execution_id = bench.new_execution()
    fault, _ = REFUSALS["clock"]
    bench.proxy.inject(fault, times=None, nth=3)
    result = cli("upload", execution_id, tree).expect(5)
    assert result.err.count("clock is wrong") == 1, result.err
    bench.proxy.heal()
    assert "40 files" in cli("upload", execution_id, tree).ok().err


@pytest.mark.parametrize("command", CASES)
def test_without_credentials_nothing_is_sent(bench: Bench, cli: RunCommand, command: str) -> None:
    case = CASES[command](bench)
    bench.proxy.clear()
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    result = cli(*case.arguments, stdin=case.stdin, env=nobody)
    check_failure(bench, case, result, {5}, "nobody")
    assert "no AWS credentials found" in result.err
    assert "AWS_PROFILE" in result.err
    assert bench.proxy.calls() == []


def test_static_credentials_of_a_profile_are_not_refreshed(
    bench: Bench, cli: RunCommand, tmp_path: Path
) -> None:
    case = CASES["upload-large"](bench)
    file = tmp_path / "credentials"
    file.write_text(
        "[bench]\naws_access_key_id = AKIDBENCH\naws_secret_access_key = secretOfTheBenchProfile\n"
        "aws_session_token = tokenOfTheBenchProfile\n"
    )
    profile = {
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "AWS_PROFILE": "bench",
    }
    bench.proxy.inject(faults.expired_token(), "UploadPart", times=None)
    result = cli("--debug", *case.arguments, env=profile).expect(5)
    bench.proxy.heal()
    assert "the credentials have expired" in result.err
    assert "get new credentials" in result.err
    check_no_secrets(result, "secretOfTheBenchProfile", "tokenOfTheBenchProfile")
    check_success(bench, case, cli(*case.arguments, env=profile), "with new ones")
