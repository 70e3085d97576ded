"""Credentials that end in the middle are refreshed; wrong ones are one clear error, exit code 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import pytest

from tests.scenarios.commands import (
    CASES,
    Case,
    CommandScene,
    Run,
    check_failure,
    check_success,
    find_targets,
    key_pattern,
)
from tests.support.commands.running import Result
from tests.support.commands.secrets import check_no_secrets
from tests.support.proxy import faults
from tests.support.proxy.operations import Request
from tests.support.proxy.rules import Rule
from tests.support.proxy.session_credentials import (
    CredentialsEndpoint,
    OnlyCurrent,
    run_credentials_endpoint,
)
from tests.support.scene import Scene


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[CredentialsEndpoint]:
    """Session credentials, as a container gets them; the environment leads there."""
    # Where the endpoint is down, botocore sleeps a second before it asks again.
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with run_credentials_endpoint() as running:
        yield running


@pytest.fixture
def run(scene: Scene, endpoint: CredentialsEndpoint) -> Run:
    """Run a case with credentials of the endpoint, every output searched for secrets."""

    def run_case(case: Case) -> Result:
        result = scene.cli("--debug", *case.arguments, stdin=case.stdin, env=endpoint.environment)
        scene.recorder.settle()
        check_no_secrets(result, *endpoint.secrets)
        return result

    return run_case


@pytest.mark.parametrize("command", CASES)
def test_credentials_that_end_at_any_request_are_refreshed(
    scene: CommandScene, run: Run, endpoint: CredentialsEndpoint, command: str
) -> None:
    """They are refused long before they said they would end, so S3's answer must be the reason."""
    for target in find_targets(scene, command, run):
        case = CASES[command](scene)
        which: dict[str, Any] = {
            "key": key_pattern(target, case),
            "part_number": target.part_number,
        }
        trigger = Rule(faults.Fault(), target.operation, nth=target.nth, **which)
        expiry = OnlyCurrent(endpoint=endpoint, trigger=trigger)
        scene.recorder.rules.append(expiry)
        fetches = endpoint.fetches
        result = run(case)
        scene.recorder.heal()
        check_success(scene, case, result, f"expired at {target}")
        assert trigger.struck == 1
        assert expiry.struck >= 1
        # One at the start; then threads that are refused together share a refresh.
        assert endpoint.fetches - fetches <= 2 + expiry.struck, target


@pytest.mark.parametrize("command", CASES)
def test_credentials_of_seconds_are_fetched_anew_in_time(
    scene: CommandScene, run: Run, endpoint: CredentialsEndpoint, command: str
) -> None:
    """Each answer of the endpoint is a new key, and the third ends the first."""
    endpoint.lifetime = timedelta(seconds=5)
    endpoint.rotates_itself = True
    scene.recorder.rules.append(OnlyCurrent(endpoint=endpoint, grace=2))
    case = CASES[command](scene)
    scene.recorder.clear()
    check_success(scene, case, run(case), "short-lived credentials")
    # A short log is one request.
    assert endpoint.fetches >= min(2, scene.recorder.count())
    assert command == "logs" or scene.recorder.count() > 1


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
    scene: CommandScene, run: Run, endpoint: CredentialsEndpoint
) -> None:
    case = CASES["upload-large"](scene)
    outage = Outage(faults.Fault(), "UploadPart", nth=2, endpoint=endpoint, requests=5)
    scene.recorder.rules.extend([outage, OnlyCurrent(endpoint=endpoint)])
    check_success(scene, case, run(case), "the endpoint was down")
    assert endpoint.outages == 0


def test_an_endpoint_that_stays_down_costs_nothing_that_was_stored(
    scene: CommandScene, run: Run, endpoint: CredentialsEndpoint
) -> None:
    case = CASES["upload-large"](scene)
    complete = "CompleteMultipartUpload"
    outage = Outage(faults.Fault(), complete, endpoint=endpoint, requests=1_000_000)
    scene.recorder.rules.extend([outage, OnlyCurrent(endpoint=endpoint)])
    result = run(case)
    scene.recorder.heal()
    assert result.exit_code == 5
    assert result.err.count("\nerror: ") == 1
    assert "no usable credentials" in result.err
    endpoint.outages = 0
    sent = scene.recorder.request_bytes("UploadPart")
    check_success(scene, case, run(case), "the endpoint is back")
    assert scene.recorder.request_bytes("UploadPart") == sent


def test_credentials_expired_on_arrival_are_exit_5_and_name_the_clock(
    scene: CommandScene, endpoint: CredentialsEndpoint
) -> None:
    """So it looks where this machine's clock is ahead of the rest of the world."""
    case = CASES["upload-small"](scene)
    endpoint.lifetime = timedelta(hours=-1)
    result = scene.cli(*case.arguments, env=endpoint.environment)
    check_failure(scene, case, result, {5}, "expired on arrival")
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
def test_static_credentials_that_are_refused(scene: CommandScene, command: str, why: str) -> None:
    fault, words = REFUSALS[why]
    case = CASES[command](scene)
    scene.recorder.inject(fault, times=None)
    scene.recorder.clear()
    result = scene.cli("--debug", *case.arguments, stdin=case.stdin, env=STATIC)
    plain = scene.cli(*case.arguments, stdin=case.stdin, env=STATIC)
    calls = len(scene.recorder.calls())
    scene.recorder.heal()
    check_no_secrets(result, *STATIC.values())
    check_failure(scene, case, plain, {5}, why)
    assert words in plain.err
    # The error, what to do, and where that is all it takes the command to give again.
    again = "run the same command again" in plain.err
    assert len(plain.err.splitlines()) == (3 if again else 2), plain.err
    # Refused for good: asking again helps nobody. A large file is looked up with its record.
    assert calls <= (8 if command == "upload-large" else 4)
    check_success(scene, case, scene.cli(*case.arguments, stdin=case.stdin), f"after {why}")


def test_the_clock_is_reported_once_for_many_files(scene: CommandScene) -> None:
    tree = scene.directory / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number}.txt").write_bytes(b"x" * number)
    execution_id = scene.make_execution()
    fault, _ = REFUSALS["clock"]
    scene.recorder.inject(fault, times=None, nth=3)
    result = scene.cli("upload", execution_id, tree).expect(5)
    assert result.err.count("clock that signed it is wrong") == 1, result.err
    scene.recorder.heal()
    assert "40 files" in scene.cli("upload", execution_id, tree).ok().err


@pytest.mark.parametrize("command", CASES)
def test_without_credentials_nothing_is_sent(scene: CommandScene, command: str) -> None:
    case = CASES[command](scene)
    scene.recorder.clear()
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    result = scene.cli(*case.arguments, stdin=case.stdin, env=nobody)
    check_failure(scene, case, result, {5}, "nobody")
    assert "no AWS credentials found" in result.err
    assert "AWS_PROFILE" in result.err
    assert scene.recorder.calls() == []


def test_static_credentials_of_a_profile_are_not_refreshed(scene: CommandScene) -> None:
    case = CASES["upload-large"](scene)
    file = scene.directory / "credentials"
    file.write_text(
        "[lab]\naws_access_key_id = AKIDBENCH\naws_secret_access_key = secretOfTheBenchProfile\n"
        "aws_session_token = tokenOfTheBenchProfile\n"
    )
    profile = {
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "AWS_PROFILE": "lab",
    }
    scene.recorder.inject(faults.expired_token(), "UploadPart", times=None)
    result = scene.cli("--debug", *case.arguments, env=profile).expect(5)
    scene.recorder.heal()
    assert "the credentials have expired" in result.err
    assert "get new credentials" in result.err
    check_no_secrets(result, "secretOfTheBenchProfile", "tokenOfTheBenchProfile")
    check_success(scene, case, scene.cli(*case.arguments, env=profile), "with new ones")
