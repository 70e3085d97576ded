"""Find credentials: static keys of the environment, or those of botocore's chain.

The chain (profiles, SSO, web identity, containers, instance roles, processes) is asked for
credentials only; no client is built.
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.connection.credential_files import check_credential_files
from orchestrator_cli.core.s3.errors import map_exception, no_credentials

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.options import ClientOptions

# Longer than any role or presigned URL lasts.
_LONGEST_SECONDS = 8 * 24 * 3600
# What comes of an answer that has another form than credentials have.
_OF_ANOTHER_FORM = (LookupError, TypeError, AttributeError, UnicodeError)


class Credentials(NamedTuple):
    """One set of credentials. `session_token` is None for long-term ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


class CredentialLifetime(NamedTuple):
    """How long credentials last. `expires_at` is None where it is not known, or never."""

    temporary: bool
    expires_at: datetime | None


class StaticCredentials(NamedTuple):
    """Credentials that never change."""

    credentials: Credentials
    expires_at: datetime | None = None

    @property
    def is_asking(self) -> bool:
        """Return False: they are there."""
        return False

    def get(self) -> Credentials:
        """Return them."""
        return self.credentials

    def lifetime(self) -> CredentialLifetime:
        """Return how long they last, as far as is known."""
        temporary = bool(self.credentials.session_token) or self.expires_at is not None
        return CredentialLifetime(temporary, self.expires_at)

    def refresh(self) -> bool:
        """Return False: asking again changes nothing."""
        return False


def static_credentials(environment: Mapping[str, str]) -> StaticCredentials | None:
    """Return the keys that stand in the environment; None where it has none.

    Raises UsageError where it says in no known way when they end.
    """
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    token = environment.get("AWS_SESSION_TOKEN") or environment.get("AWS_SECURITY_TOKEN")
    expires_at = _parse_expiration(environment.get("AWS_CREDENTIAL_EXPIRATION"))
    return StaticCredentials(Credentials(key, secret, token or None), expires_at)


def _parse_expiration(text: str | None) -> datetime | None:
    if not text:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        expires_at = datetime.fromisoformat(text)
        if expires_at.tzinfo is not None:
            return expires_at.astimezone(UTC)
    raise UsageError(
        f"AWS_CREDENTIAL_EXPIRATION: {printable(text)!r} is not a time",
        hint="it is like 2026-01-31T09:00:00Z; unset it where the end is not known",
        is_fatal=True,
    )


class ChainCredentials:
    """The credentials that botocore's chain finds; botocore refreshes them before they end.

    Safe to share between threads, as StaticCredentials are.
    """

    def __init__(
        self,
        profile: str | None,
        region: str,
        environment: Mapping[str, str],
        options: Callable[[], ClientOptions],
    ) -> None:
        """`profile` is the one that was asked for; `region` is where STS is asked for roles.

        botocore reads the process's own variables, of which `environment` is a copy. `options` say
        how requests are sent.
        """
        self._profile = profile
        self._region = region
        self._environment = environment
        self._options = options
        self._session: Any = None
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._loads = 0
        self._given: Credentials | None = None
        self.is_asking = False

    def get(self) -> Credentials:
        """Return the credentials of this moment. Raises AccessError."""
        self.is_asking = True
        try:
            self._given = self._freeze(self._current())
        finally:
            self.is_asking = False
        return self._given

    def lifetime(self) -> CredentialLifetime:
        """Return how long those of this moment stay good. Raises AccessError."""
        found = self._current()
        frozen = self._freeze(found)
        expires_at = _expires_at(found, datetime.now(UTC))
        return CredentialLifetime(bool(frozen.session_token) or expires_at is not None, expires_at)

    def refresh(self) -> bool:
        """Go through the chain anew, because S3 refuses the present credentials.

        Returns False where they are the same again. Concurrent calls share the result.
        """
        refused, given, seen = self._loaded, self._given, self._loads
        with self._lock:
            if self._loads != seen or refused is None:
                return True
            self._loaded = None
        try:
            return self.get() != given or _is_refreshable(refused)
        except OrchestratorError:
            # Each later signature tries again, and raises what fails.
            return True

    def _current(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
                self._loads += 1
            return self._loaded

    def _load(self) -> Any:
        from orchestrator_cli.core.s3.connection.boto_transport import make_session

        try:
            # A session of its own each time: what the last one found is kept by it.
            self._session = make_session(self._profile, self._region, self._options())
            check_credential_files(self._session, self._environment)
            found = self._session.get_credentials()
        except Exception as error:
            raise _explained(error) from error
        if found is None:
            raise AccessError(
                "no AWS credentials found",
                hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or try "
                "`orchestrator sandbox`",
                is_fatal=True,
            )
        return found

    def _freeze(self, found: Any) -> Credentials:
        try:
            if _is_refreshable(found) and found.refresh_needed():
                # It reads some of them again each time.
                check_credential_files(self._session, self._environment)
            # Those of a role are fetched only now, and those about to end are fetched anew.
            frozen = found.get_frozen_credentials()
            return _checked(Credentials(frozen.access_key, frozen.secret_key, frozen.token or None))
        except RuntimeError as error:
            # botocore has no type of its own for fresh credentials that have ended already.
            raise AccessError(
                "the credentials were refreshed and have expired already",
                hint="set this machine's clock (NTP), or see what provides the credentials",
                is_fatal=True,
            ) from error
        except Exception as error:
            raise _explained(error) from error


def _checked(found: Credentials) -> Credentials:
    """Return credentials. Raises TypeError for what came in JSON and is no text."""
    texts = (found.access_key_id, found.secret_access_key, found.session_token or "")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return found


def _is_refreshable(found: Any) -> bool:
    return hasattr(found, "refresh_needed")


def _explained(error: Exception) -> Exception:
    # Loaded here, as no command needs it to print a log.
    from json import JSONDecodeError

    if isinstance(error, (*_OF_ANOTHER_FORM, JSONDecodeError)):
        return no_credentials("what provides them answered something else")
    mapped = map_exception(error, "credentials")
    if isinstance(mapped, OSError):
        # A file of a token, which botocore has opened.
        return no_credentials(f"{printable(mapped.filename)}: {mapped.strerror}")
    if isinstance(error, ValueError) and not isinstance(mapped, AccessError):
        return no_credentials(printable(error))
    return mapped


def _expires_at(found: Any, now: datetime) -> datetime | None:
    """Return when botocore's credentials end; None where they do not, or nobody knows.

    botocore has no public name for that time, but says whether less than some seconds are left:
    so the time is found by halving. It is mostly a whole second.
    """
    if not _is_refreshable(found) or not found.refresh_needed(refresh_in=_LONGEST_SECONDS):
        return None
    shortest, longest = 0.0, float(_LONGEST_SECONDS)
    while longest - shortest > 0.01:
        middle = (shortest + longest) / 2
        if found.refresh_needed(refresh_in=middle):
            longest = middle
        else:
            shortest = middle
    earliest = now.timestamp() + shortest
    whole = round(earliest)
    return datetime.fromtimestamp(whole if abs(whole - earliest) < 0.05 else earliest, UTC)
