"""Where credentials come from when no AWS configuration file has a say, without boto3.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable, without_urls
from orchestrator_cli.core.http.pool import HttpPool
from orchestrator_cli.core.s3.errors import (
    expired_after_refresh,
    map_exception,
    no_credentials,
    parse_error_body,
)

# As in the SDKs: new ones are fetched while the old ones still have time.
_RENEW_BEFORE = timedelta(minutes=10)
# After a renewal that failed, while the old ones are still good.
_NEXT_TRY = timedelta(seconds=30)
_ATTEMPTS = 3
_FIRST_WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of credentials. `session_token` and `expires_at` are None for those that last."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expires_at: datetime | None = None


class CredentialSource(Protocol):
    """Gives credentials that are good now. Safe to share between threads."""

    def current(self) -> Credentials:
        """Return the credentials of this moment. Raises AccessError."""
        ...

    def refresh(self) -> bool:
        """Fetch new ones although the present ones seem good; say if that makes sense."""
        ...


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Credentials that stay what they are."""

    credentials: Credentials

    def current(self) -> Credentials:
        """Return them."""
        return self.credentials

    def refresh(self) -> bool:
        """Return False: asking again changes nothing."""
        return False


class FetchedCredentials:
    """Credentials that are fetched, kept, and fetched anew before they end."""

    def __init__(
        self,
        fetch: Callable[[], Credentials],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._held: Credentials | None = None
        self._not_before: datetime | None = None
        self._fetches = 0

    def current(self) -> Credentials:
        """Return credentials that are good now. Raises AccessError."""
        held = self._held
        if held is not None and not self._is_due(held):
            return held
        with self._lock:
            held = self._held
            if held is not None and not self._is_due(held):
                return held
            try:
                return self._renew()
            except OrchestratorError:
                # Whoever gives them may be down for a moment while these are still good.
                if held is None or self._ends_within(held, timedelta(0)):
                    raise
                self._not_before = self._now() + _NEXT_TRY
                return held

    def refresh(self) -> bool:
        """Fetch new ones. Threads that ask while it is done share what comes of it."""
        seen = self._fetches
        with self._lock:
            if self._fetches == seen:
                self._held = None
                try:
                    self._renew()
                except OrchestratorError:
                    # Every later signature tries it again, and says what fails.
                    self._fetches += 1
        return True

    def _renew(self) -> Credentials:
        fetched = self._fetch()
        if self._ends_within(fetched, timedelta(0)):
            raise expired_after_refresh()
        self._held = fetched
        self._fetches += 1
        return fetched

    def _is_due(self, held: Credentials) -> bool:
        if not self._ends_within(held, _RENEW_BEFORE):
            return False
        waits = self._not_before is not None and self._now() < self._not_before
        return not waits or self._ends_within(held, timedelta(0))

    def _ends_within(self, held: Credentials, span: timedelta) -> bool:
        return held.expires_at is not None and held.expires_at - self._now() <= span


@dataclass(frozen=True, slots=True)
class ContainerEndpoint:
    """The endpoint that gives a container or an EKS pod its role's credentials.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """

    url: str
    token: str | None = None
    token_file: str | None = None

    def fetch(self, http: HttpPool) -> Credentials:
        """Ask for credentials once. Raises AccessError."""
        headers = {"Accept": "application/json"}
        token = _read_token(self.token_file) if self.token_file else self.token
        if token:
            headers["Authorization"] = _one_line(token)
        status, body = _request(http, "GET", self.url, headers=headers)
        if status != 200:
            raise no_credentials(f"the container's endpoint answered {status}", status >= 500)
        return _parse_json(body)


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """A token of the cluster that STS takes for a role's credentials.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """

    sts_url: str
    role_arn: str
    session_name: str
    token_file: str

    def fetch(self, http: HttpPool) -> Credentials:
        """Ask STS once; the token's file is read anew, as the cluster replaces it."""
        fields = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self.role_arn,
            "RoleSessionName": self.session_name,
            "WebIdentityToken": _read_token(self.token_file),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        body = urlencode(fields).encode()
        status, answer = _request(http, "POST", self.sts_url, headers=headers, body=body)
        if status != 200:
            told = parse_error_body(status, answer.decode("utf-8", "replace"))
            detail = f"{told.code or status} {without_urls(told.message)}".rstrip()
            passing = status >= 500 or told.code == "IDPCommunicationError"
            raise no_credentials(f"AssumeRoleWithWebIdentity answered {detail}", passing)
        return _parse_sts(answer)


def fetch_patiently(
    fetch: Callable[[], Credentials], sleep: Callable[[float], object]
) -> Credentials:
    """Fetch, up to three times where the failure can pass. Raises AccessError."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return fetch()
        except OrchestratorError as error:
            if not error.retryable:
                raise
            sleep(_FIRST_WAIT_SECONDS * 2**attempt)
    return fetch()


def _request(http: HttpPool, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    try:
        answer = http.request(method, url, **options)
    except Exception as error:
        told = map_exception(error, "credentials")
        if not isinstance(told, OrchestratorError):
            raise
        raise no_credentials(told.message.removeprefix("credentials: "), retryable=True) from error
    return answer.status, bytes(answer.data)


def _read_token(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise no_credentials(f"cannot read {printable(file)}: {reason}") from error


def _one_line(token: str) -> str:
    if any(character in token for character in "\r\n"):
        raise no_credentials("the container's authorization token has more than one line")
    return token


def _parse_json(body: bytes) -> Credentials:
    try:
        told = json.loads(body)
        return _credentials(told, "Token")
    except (ValueError, KeyError, TypeError) as error:
        raise no_credentials("what answered is not a credentials endpoint", True) from error


def _parse_sts(body: bytes) -> Credentials:
    from xml.etree import ElementTree as ET

    try:
        # Of STS, over TLS; expat refuses entities that explode.
        found = ET.fromstring(body).find(".//{*}Credentials")  # noqa: S314
        children = () if found is None else found
        told = {child.tag.rpartition("}")[2]: child.text or "" for child in children}
        return _credentials(told, "SessionToken")
    except (ET.ParseError, ValueError, KeyError) as error:
        raise no_credentials("what answered is not STS", True) from error


def _credentials(told: Mapping[str, str], token: str) -> Credentials:
    expires_at = told.get("Expiration")
    return Credentials(
        access_key_id=str(told["AccessKeyId"]),
        secret_access_key=str(told["SecretAccessKey"]),
        session_token=told.get(token) or None,
        expires_at=datetime.fromisoformat(expires_at).astimezone(UTC) if expires_at else None,
    )
