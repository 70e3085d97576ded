"""Presigned URLs say when they really expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.s3.bucket.presign import (
    MAX_EXPIRES_IN_SECONDS,
    UrlExpiry,
    effective_expiry,
    presign_object,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.credentials import CredentialLifetime
from orchestrator_cli.core.s3.connection.session import S3Session

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
STATIC = CredentialLifetime(temporary=False, expires_at=None)
UNKNOWN = CredentialLifetime(temporary=True, expires_at=None)

seconds = st.integers(1, MAX_EXPIRES_IN_SECONDS)


def until(left: timedelta) -> CredentialLifetime:
    return CredentialLifetime(temporary=True, expires_at=NOW + left)


@pytest.mark.parametrize(
    ("asked", "lifetime", "expected"),
    [
        (3600, STATIC, UrlExpiry(3600, NOW + HOUR, limited_by_credentials=False, certain=True)),
        (3600, UNKNOWN, UrlExpiry(3600, NOW + HOUR, limited_by_credentials=False, certain=False)),
        (
            3600,
            until(2 * HOUR),
            UrlExpiry(3600, NOW + HOUR, limited_by_credentials=False, certain=True),
        ),
        (
            3600,
            until(HOUR),
            UrlExpiry(3600, NOW + HOUR, limited_by_credentials=False, certain=True),
        ),
        (7200, until(HOUR), UrlExpiry(3600, NOW + HOUR, limited_by_credentials=True, certain=True)),
        (
            MAX_EXPIRES_IN_SECONDS,
            STATIC,
            UrlExpiry(604_800, NOW + timedelta(days=7), limited_by_credentials=False, certain=True),
        ),
        (
            1,
            until(timedelta(seconds=1.9)),
            UrlExpiry(1, NOW + timedelta(seconds=1), limited_by_credentials=False, certain=True),
        ),
    ],
)
def test_a_url_expires_at_the_earlier_of_two_ends(
    asked: int, lifetime: CredentialLifetime, expected: UrlExpiry
) -> None:
    assert effective_expiry(asked, lifetime, NOW) == expected


@given(seconds, st.timedeltas(timedelta(seconds=1), timedelta(days=30)))
def test_no_url_is_said_to_outlive_its_credentials(asked: int, left: timedelta) -> None:
    expiry = effective_expiry(asked, until(left), NOW)
    assert 1 <= expiry.expires_in_seconds <= asked
    assert expiry.expires_at == NOW + timedelta(seconds=expiry.expires_in_seconds)
    assert expiry.expires_at <= NOW + left
    assert expiry.limited_by_credentials == (expiry.expires_in_seconds < asked)
    assert expiry.certain


@pytest.mark.parametrize("lifetime", [STATIC, UNKNOWN, until(HOUR), until(-HOUR)])
@pytest.mark.parametrize("asked", [0, -1, MAX_EXPIRES_IN_SECONDS + 1, 10**12])
def test_what_s3_refuses_to_sign_is_refused_here(asked: int, lifetime: CredentialLifetime) -> None:
    with pytest.raises(UsageError, match="1 second to 7 days"):
        effective_expiry(asked, lifetime, NOW)


@pytest.mark.parametrize("left", [timedelta(seconds=0.9), timedelta(0), -HOUR])
def test_credentials_that_have_ended_sign_nothing(left: timedelta) -> None:
    with pytest.raises(AccessError, match="expired"):
        effective_expiry(60, until(left), NOW)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A store nothing is asked of; the endpoint does not exist."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    endpoint_url = "https://s3.invalid:9000"
    return ArtifactStore(S3Session(S3Settings("bucket", "eu-west-1", endpoint_url)))


@pytest.mark.parametrize(
    "path",
    ["logs/stdout.log", "a b+c&d=e?f#g%2F", "artifacts/custom/é😀/[1].png", "a\\b'\"<>|^`{}~"],
)
def test_a_url_names_exactly_the_object_and_says_its_expiry(
    store: ArtifactStore, path: str
) -> None:
    key = f"executions/01JABCDEFGHJKMNPQRSTVWXYZ0/{path}"
    expiry = effective_expiry(1234, store.session.credential_lifetime(), NOW)
    url = urlsplit(presign_object(store, store.session.signing_key(), key, expiry))
    query = parse_qs(url.query)
    assert url.netloc == "s3.invalid:9000"
    assert unquote(url.path) == f"/bucket/{key}"
    assert query["X-Amz-Expires"] == ["1234"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].endswith("/eu-west-1/s3/aws4_request")
