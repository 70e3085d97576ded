"""What the environment alone decides, and where boto3 has to be asked: as the AWS SDKs do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.s3.access import Asked, DirectAccess, direct_access
from orchestrator_cli.core.s3.credentials import (
    Credentials,
    FetchedCredentials,
    StaticCredentials,
    fetch_patiently,
)
from orchestrator_cli.core.s3.errors import no_credentials

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
REGION = {"AWS_REGION": "eu-central-1"}
TOKEN_FILE = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
TASK = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


def found(environment: dict[str, str], asked: Asked | None = None) -> DirectAccess:
    access = direct_access(asked or Asked(), environment)
    assert access is not None
    return access


def test_keys_region_and_endpoint_of_the_environment() -> None:
    access = found(KEYS | REGION | {"AWS_SESSION_TOKEN": "token", "AWS_CA_BUNDLE": "/ca.pem"})
    assert access.credentials.current() == Credentials("AKID", "secret", "token")
    assert not access.credentials.refresh()
    assert (access.region, access.ca_bundle) == ("eu-central-1", "/ca.pem")
    assert access.url == "https://s3.eu-central-1.amazonaws.com"
    assert found(KEYS | {"AWS_REGION": "cn-north-1"}).url.endswith(".amazonaws.com.cn")


def test_options_beat_the_environment_and_the_services_own_endpoint_the_general_one() -> None:
    both = {"AWS_ENDPOINT_URL": "http://any:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}
    assert found(KEYS | REGION | both).url == "http://s3:2"
    asked = Asked(region="us-west-2", endpoint_url="https://mine:3")
    access = found(KEYS | REGION | both, asked)
    assert (access.url, access.region) == ("https://mine:3", "us-west-2")
    ignored = both | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert found(KEYS | REGION | ignored).endpoint_url is None


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        (REGION, Asked()),
        (KEYS, Asked()),
        (REGION | {"AWS_ACCESS_KEY_ID": "AKID"}, Asked()),
        (KEYS | REGION | {"AWS_PROFILE": "p"}, Asked()),
        (KEYS | REGION, Asked(profile="p")),
        (KEYS | REGION, Asked(config_file=True)),
        (KEYS | REGION | {"AWS_USE_FIPS_ENDPOINT": "true"}, Asked()),
        (KEYS | REGION | {"AWS_CREDENTIAL_EXPIRATION": "soon"}, Asked()),
        (REGION | TASK, Asked(credentials_file=True)),
        (REGION | TOKEN_FILE | {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, Asked()),
        # Half of a web identity is an error that boto3 explains, whatever else there is.
        (REGION | TASK | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, Asked()),
        # Credentials go in clear to this machine only.
        (REGION | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://elsewhere/c"}, Asked()),
    ],
)
def test_boto3_is_asked_where_more_than_the_environment_may_have_a_say(
    environment: dict[str, str], asked: Asked
) -> None:
    assert direct_access(asked, environment) is None


@pytest.mark.parametrize("environment", [TASK, TOKEN_FILE])
def test_a_role_is_found(environment: dict[str, str]) -> None:
    assert isinstance(found(REGION | environment).credentials, FetchedCredentials)
    assert isinstance(found(REGION | KEYS | environment).credentials, StaticCredentials)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x:1",
        "http://",
        "http://x:y",
        "nonsense",
        "http://x\n",
        "http://x/a b",
        "http://ü",
    ],
)
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(UsageError, match="not an endpoint"):
        direct_access(Asked(endpoint_url=url), KEYS)


def test_the_end_that_the_environment_names_is_kept() -> None:
    environment = KEYS | REGION | {"AWS_CREDENTIAL_EXPIRATION": "2026-01-31T09:00:00Z"}
    assert found(environment).credentials.current().expires_at == NOW + timedelta(hours=1)


class Endpoint:
    """Gives credentials for an hour, or fails."""

    def __init__(self) -> None:
        self.now = NOW
        self.fetches = 0
        self.down = False
        self.lifetime = timedelta(hours=1)

    def fetch(self) -> Credentials:
        self.fetches += 1
        if self.down:
            raise no_credentials("down", retryable=True)
        return Credentials("AKID", f"secret {self.fetches}", "token", self.now + self.lifetime)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def source(endpoint: Endpoint) -> FetchedCredentials:
    return FetchedCredentials(endpoint.fetch, lambda: endpoint.now)


def test_they_are_fetched_once_and_anew_before_they_end(
    endpoint: Endpoint, source: FetchedCredentials
) -> None:
    assert source.current() == source.current()
    assert endpoint.fetches == 1
    endpoint.now += timedelta(minutes=49)
    assert source.current().secret_access_key == "secret 1"
    endpoint.now += timedelta(minutes=2)
    assert source.current().secret_access_key == "secret 2"


def test_an_endpoint_that_is_down_costs_nothing_while_the_old_ones_are_good(
    endpoint: Endpoint, source: FetchedCredentials
) -> None:
    source.current()
    endpoint.now += timedelta(minutes=55)
    endpoint.down = True
    assert source.current().secret_access_key == "secret 1"
    # It is not asked for every request.
    assert source.current().secret_access_key == "secret 1"
    assert endpoint.fetches == 2
    endpoint.now += timedelta(minutes=5)
    with pytest.raises(AccessError, match="down"):
        source.current()
    endpoint.down = False
    assert source.current().secret_access_key == "secret 4"


def test_a_refresh_fetches_whatever_they_said_of_their_end(
    endpoint: Endpoint, source: FetchedCredentials
) -> None:
    source.current()
    assert source.refresh()
    assert source.current().secret_access_key == "secret 2"
    endpoint.down = True
    assert source.refresh()
    with pytest.raises(AccessError):
        source.current()


def test_expired_on_arrival(endpoint: Endpoint, source: FetchedCredentials) -> None:
    endpoint.lifetime = timedelta(0)
    with pytest.raises(AccessError, match="have expired already"):
        source.current()


@pytest.mark.parametrize(("retryable", "fetches"), [(True, 3), (False, 1)])
def test_what_can_pass_is_tried_three_times(retryable: bool, fetches: int) -> None:
    tried: list[str] = []
    waited: list[float] = []

    def fetch() -> Credentials:
        tried.append("")
        raise no_credentials("no", retryable)

    with pytest.raises(AccessError):
        fetch_patiently(fetch, waited.append)
    assert len(tried) == fetches
    assert len(waited) == fetches - 1
