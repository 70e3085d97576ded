"""Static keys are taken as they are; everything else is what botocore's own chain finds."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.credentials import Credentials as BotoCredentials
from botocore.credentials import RefreshableCredentials
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.s3.connection import boto_transport, credential_process
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.credentials import (
    ChainCredentials,
    CredentialLifetime,
    Credentials,
    static_credentials,
)
from orchestrator_cli.core.s3.connection.session import S3Session
from tests.support.proxy.session_credentials import CredentialsEndpoint, run_credentials_endpoint
from tests.support.servers.cloud_identity import pod_identity_agent, token_service
from tests.support.servers.scripted import Peer, scripted

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


# --- static keys -----------------------------------------------------------------------------


def test_the_keys_of_the_environment_are_taken_as_they_are() -> None:
    found = static_credentials(KEYS)
    assert found is not None
    assert found.get() == Credentials("AKID", "secret")
    assert found.lifetime() == CredentialLifetime(temporary=False, expires_at=None)
    assert not found.refresh()


@pytest.mark.parametrize("variable", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
def test_a_session_token_makes_them_temporary(variable: str) -> None:
    found = static_credentials(KEYS | {variable: "token"})
    assert found is not None
    assert found.get().session_token == "token"
    assert found.lifetime() == CredentialLifetime(temporary=True, expires_at=None)


@pytest.mark.parametrize("text", ["2026-01-31T09:00:00Z", "2026-01-31T10:00:00+01:00"])
def test_the_end_that_the_environment_names_is_kept(text: str) -> None:
    found = static_credentials(KEYS | {"AWS_CREDENTIAL_EXPIRATION": text})
    assert found is not None
    assert found.lifetime().expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("text", ["garbage", "2026-01-31T09:00:00", "2026", "\x1b[31m", "9" * 99])
def test_an_end_that_is_no_time_is_a_usage_error_that_names_the_variable(text: str) -> None:
    with pytest.raises(UsageError, match="AWS_CREDENTIAL_EXPIRATION: ") as raised:
        static_credentials(KEYS | {"AWS_CREDENTIAL_EXPIRATION": text})
    assert raised.value.message.isprintable()
    assert raised.value.is_fatal


@pytest.mark.parametrize("name", KEYS)
def test_half_a_key_is_none(name: str) -> None:
    assert static_credentials({name: KEYS[name]}) is None


def test_a_profile_that_an_option_names_comes_before_the_keys_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[bench]\naws_access_key_id = BENCH\naws_secret_access_key = secret\n")
    environment = KEYS | {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    asked = S3Session(S3Settings("bucket", profile="bench", environment=environment))
    assert asked.signing_key().access_key_id == "BENCH"
    named = S3Settings("bucket", environment=environment | {"AWS_PROFILE": "bench"})
    assert S3Session(named).signing_key().access_key_id == "AKID"


# --- the chain -------------------------------------------------------------------------------


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*KEYS, "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def endpoint(no_keys: pytest.MonkeyPatch) -> Iterator[CredentialsEndpoint]:
    """Session credentials, as a container gets them."""
    no_keys.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with run_credentials_endpoint() as running:
        for name, text in running.environment.items():
            if text is not None:
                no_keys.setenv(name, text)
        yield running


def test_a_container_gives_its_roles(endpoint: CredentialsEndpoint) -> None:
    chain = ChainCredentials(None, "us-east-1", os.environ, ClientOptions)
    assert chain.get() == chain.get()
    assert endpoint.fetches == 1
    lifetime = chain.lifetime()
    assert lifetime.temporary
    assert lifetime.expires_at is not None
    left = lifetime.expires_at - datetime.now(UTC)
    assert timedelta(hours=6) - timedelta(minutes=1) < left <= timedelta(hours=6)


def test_a_refresh_goes_through_the_chain_anew(endpoint: CredentialsEndpoint) -> None:
    chain = ChainCredentials(None, "us-east-1", os.environ, ClientOptions)
    before = chain.get()
    endpoint.rotate()
    assert chain.refresh()
    assert chain.get() != before
    assert endpoint.fetches == 2


def test_a_refresh_that_fails_is_said_by_the_next_signature(endpoint: CredentialsEndpoint) -> None:
    chain = ChainCredentials(None, "us-east-1", os.environ, ClientOptions)
    chain.get()
    endpoint.outages = 1_000
    assert chain.refresh()
    with pytest.raises(AccessError, match="no usable credentials") as raised:
        chain.get()
    assert raised.value.retryable
    endpoint.outages = 0
    assert chain.get().access_key_id.startswith("ASIATEST")


def test_credentials_that_are_expired_on_arrival_are_refused(endpoint: CredentialsEndpoint) -> None:
    endpoint.lifetime = timedelta(hours=-1)
    with pytest.raises(AccessError, match="have expired already"):
        ChainCredentials(None, "us-east-1", os.environ, ClientOptions).get()


def test_a_pod_gets_those_of_its_identity(no_keys: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt-of-the-pod")
    with pod_identity_agent() as (address, _):
        no_keys.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/v1/credentials")
        no_keys.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
        assert (
            ChainCredentials(None, "us-east-1", os.environ, ClientOptions).lifetime().expires_at
            is not None
        )


def test_sts_is_asked_for_the_role_of_a_web_identity(
    no_keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("jwt-of-the-pod")
    with token_service() as (address, _):
        no_keys.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/runner-role")
        no_keys.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        no_keys.setenv("AWS_ENDPOINT_URL_STS", address)
        assert ChainCredentials(None, "eu-west-1", os.environ, ClientOptions).get().session_token


def test_a_process_may_give_them(no_keys: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = {"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "secret"}
    config = tmp_path / "config"
    command = f"{sys.executable} -c 'print(open(\"{tmp_path}/answer\").read())'"
    config.write_text(f"[profile bench]\ncredential_process = {command}\n")
    (tmp_path / "answer").write_text(json.dumps(document))
    no_keys.setenv("AWS_CONFIG_FILE", str(config))
    assert ChainCredentials("bench", "us-east-1", os.environ, ClientOptions).get() == Credentials(
        "PROCESS", "secret"
    )


def test_new_keys_in_the_file_are_found_where_the_old_ones_are_refused(
    no_keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    no_keys.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def write(key: str) -> None:
        file.write_text(f"[bench]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")

    write("OLD")
    chain = ChainCredentials("bench", "us-east-1", os.environ, ClientOptions)
    assert chain.get().access_key_id == "OLD"
    assert not chain.refresh()
    write("NEW")
    assert chain.refresh()
    assert chain.get().access_key_id == "NEW"


# --- files that botocore must not read -------------------------------------------------------


def made_endless(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(100 * 1024**3)
    return path


def made_fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("make", [made_fifo, made_endless])
@pytest.mark.parametrize(
    "variable",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CREDENTIAL_FILE",
    ],
)
def test_a_file_without_end_is_refused(
    variable: str, make: Callable[[Path], Path], no_keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_keys.setenv(variable, str(make(tmp_path / "token")))
    no_keys.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/runner-role")
    no_keys.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
    with pytest.raises(UsageError, match=f"{variable}: .*token is ") as raised:
        ChainCredentials(None, "us-east-1", os.environ, ClientOptions).get()
    assert raised.value.is_fatal


def test_a_token_that_has_become_a_fifo_is_refused_by_the_next_refresh(
    no_keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, token = tmp_path / "config", tmp_path / "token"
    token.write_text("jwt-of-the-pod")
    role = "arn:aws:iam::123456789012:role/runner-role"
    keys = f"role_arn = {role}\nweb_identity_token_file = {token}\n"
    config.write_text(
        f"[profile base]\n{keys}[default]\nrole_arn = {role}\nsource_profile = base\n"
    )
    no_keys.setenv("AWS_CONFIG_FILE", str(config))
    chain = ChainCredentials(None, "us-east-1", os.environ, ClientOptions)
    token.unlink()
    with pytest.raises(AccessError, match="token: No such file"):
        chain.get()
    made_fifo(token)
    with pytest.raises(UsageError, match=r"web_identity_token_file: .*token is not a regular file"):
        chain.get()


# --- who never ends its answer ---------------------------------------------------------------


def endless(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.send(b"a" * 65536)


def dripping(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        peer.send(b"a")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [endless, dripping])
@pytest.mark.parametrize("asked", ["instance", "container", "STS"])
def test_an_answer_without_end_is_given_up(
    asked: str,
    answer: Callable[[Peer], None],
    no_keys: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    no_keys.setattr(boto_transport, "_LONGEST_SECONDS", 0.5)
    with scripted(answer) as server:
        if asked == "instance":
            no_keys.delenv("AWS_EC2_METADATA_DISABLED")
            no_keys.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        elif asked == "container":
            no_keys.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/v1/credentials")
        else:
            (tmp_path / "token").write_text("jwt-of-the-pod")
            no_keys.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/runner-role")
            no_keys.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
            no_keys.setenv("AWS_ENDPOINT_URL_STS", server.url)
        with pytest.raises(OrchestratorError, match=r"answered too slowly|is larger than any"):
            ChainCredentials(None, "us-east-1", os.environ, ClientOptions).get()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("profile", "command"), [("bench", "yes"), ("bench", "sleep 60"), ("role", "yes")]
)
def test_a_process_without_end_is_killed(
    profile: str, command: str, no_keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    role = "role_arn = arn:aws:iam::123456789012:role/runner-role\nsource_profile = base\n"
    text = f"credential_process = {command}\n"
    config.write_text(f"[profile bench]\n{text}[profile base]\n{text}[profile role]\n{role}")
    no_keys.setenv("AWS_CONFIG_FILE", str(config))
    no_keys.setattr(credential_process, "LONGEST_SECONDS", 0.5)
    with pytest.raises(AccessError, match=r"more than 1,048,576 bytes|did not end in 0\.5 s"):
        ChainCredentials(profile, "us-east-1", os.environ, ClientOptions).get()


def test_a_chain_without_credentials_is_a_fatal_error(no_keys: pytest.MonkeyPatch) -> None:
    with pytest.raises(AccessError, match="no AWS credentials found") as raised:
        ChainCredentials(None, "us-east-1", os.environ, ClientOptions).get()
    assert raised.value.is_fatal


def test_half_a_key_is_explained(no_keys: pytest.MonkeyPatch) -> None:
    no_keys.setenv("AWS_ACCESS_KEY_ID", "AKID")
    with pytest.raises(AccessError, match="AWS_SECRET_ACCESS_KEY"):
        ChainCredentials(None, "us-east-1", os.environ, ClientOptions).get()


# --- when they end ---------------------------------------------------------------------------


class Found(ChainCredentials):
    """A chain that has found these."""

    def __init__(self, found: BotoCredentials) -> None:
        super().__init__(None, "us-east-1", {}, ClientOptions)
        self._loaded = found


def ending(at: datetime) -> RefreshableCredentials:
    def refresh() -> dict[str, str]:
        raise AssertionError("nobody asked for new ones")

    return RefreshableCredentials("AKID", "secret", "token", at, refresh, "test")


@given(st.integers(3600, 7 * 24 * 3600))
def test_when_they_end_is_known(seconds: int) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    found = Found(ending(end)).lifetime().expires_at
    # A machine that sleeps meanwhile makes it earlier, and nothing makes it later.
    assert found is not None
    assert end - timedelta(seconds=30) < found <= end


def test_what_lasts_longer_than_any_url_has_no_end_here() -> None:
    chain = Found(ending(datetime.now(UTC) + timedelta(days=365)))
    assert chain.lifetime() == CredentialLifetime(temporary=True, expires_at=None)


@pytest.mark.parametrize(("token", "temporary"), [(None, False), ("token", True)])
def test_what_says_no_end_has_none(token: str | None, temporary: bool) -> None:
    chain = Found(BotoCredentials("AKID", "secret", token))
    assert chain.lifetime() == CredentialLifetime(temporary, None)
