"""Clients and credentials: boto3 for control, obstore for objects, urllib3 for presigned URLs.

Each is made when first asked for, so a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from orchestrator_cli import __version__
from orchestrator_cli.core.errors import AccessError, UsageError, printable
from orchestrator_cli.core.retry import RetryPolicy
from orchestrator_cli.core.s3errors import translate
from orchestrator_cli.core.sigv4 import SigningKey

if TYPE_CHECKING:
    import boto3
    import urllib3
    from mypy_boto3_s3 import S3Client
    from obstore.store import ClientConfig, S3Store

T = TypeVar("T")

DEFAULT_REGION = "us-east-1"
CONNECT_TIMEOUT_SECONDS = 10
# Between two reads or writes of one connection, not for a whole transfer.
STALL_TIMEOUT_SECONDS = 60
USER_AGENT = f"orchestrator/{__version__}"


@dataclass(frozen=True, slots=True)
class StaticAccess:
    """Credentials, region and endpoint where the environment alone gives them all.

    Reading an object then needs no boto3, whose import costs more than the request.
    `endpoint_url` None means AWS itself.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    region: str
    endpoint_url: str | None
    ca_bundle: str | None

    @property
    def url(self) -> str:
        """The endpoint in use."""
        suffix = ".cn" if self.region.startswith("cn-") else ""
        return self.endpoint_url or f"https://s3.{self.region}.amazonaws.com{suffix}"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is and who asks. None means: as the AWS configuration says."""

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    concurrency: int = 16
    static: StaticAccess | None = None


@dataclass(frozen=True, slots=True)
class CredentialLifetime:
    """Until when requests signed now are good. `expires_at` is None where it is not known."""

    temporary: bool
    expires_at: datetime | None


class S3Clients:
    """The clients of one bucket. Safe to share between threads."""

    def __init__(self, settings: S3Settings, retry: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.bucket = settings.bucket
        self.retry = replace(retry or RetryPolicy(), refresh_credentials=self.refresh_credentials)
        # Several threads may ask for the first client at once; making one is not thread-safe.
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}
        self._refreshing = threading.Lock()
        self._refreshes = 0

    def _made_once(self, name: str, make: Callable[[], T]) -> T:
        """Return what was made under a name, or make it: once, whoever asks at the same time.

        Not `cached_property`: that of Python 3.11 has a lock of its own, and two locks taken in
        both orders are a deadlock; that of later releases has none and would make sixteen clients.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return cast("T", self._made[name])

    @property
    def session(self) -> boto3.Session:
        """The boto3 session. Raises AccessError for an unknown profile."""
        return self._made_once("session", self._make_session)

    @property
    def boto(self) -> S3Client:
        """The control plane. Its own retries are off: RetryPolicy decides."""
        return self._made_once("boto", self._make_boto)

    @property
    def objects(self) -> S3Store:
        """The data plane for whole objects."""
        return self._made_once("objects", self._make_objects)

    @property
    def http(self) -> urllib3.PoolManager:
        """The pool for presigned URLs; behaves as boto3 does about proxies and CAs."""
        return self._made_once("http", self._make_http)

    @property
    def endpoint_url(self) -> str:
        """The endpoint in use."""
        static = self.settings.static
        return static.url if static else str(self.boto.meta.endpoint_url)

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        static = self.settings.static
        return static.region if static else self.session.region_name or DEFAULT_REGION

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        host = urlsplit(self.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def credential_lifetime(self) -> CredentialLifetime:
        """Return how long requests signed now stay good. Raises AccessError without credentials."""
        credentials = self._credentials()
        try:
            # Those of a role are fetched only now, and those about to end are fetched anew.
            token = credentials.get_frozen_credentials().token
        except Exception as error:
            raise translate(error, "credentials") from error
        # botocore has no public name for it; RefreshableCredentials has kept this one for years.
        expires_at = getattr(credentials, "_expiry_time", None)
        return CredentialLifetime(bool(token) or expires_at is not None, expires_at)

    def signing_key(self) -> SigningKey:
        """Return the credentials of this moment. Raises AccessError without any."""
        credentials = self._credentials()
        try:
            frozen = credentials.get_frozen_credentials()
        except Exception as error:
            raise translate(error, "credentials") from error
        return SigningKey(frozen.access_key, frozen.secret_key, frozen.token, self.region)

    def refresh_credentials(self) -> bool:
        """Fetch new credentials although the present ones seem good; say if that makes sense.

        Static ones stay what they are. Threads that ask while it is done share what comes of it.
        """
        if self.settings.static is not None:
            return False
        from botocore.credentials import RefreshableCredentials

        credentials = self._credentials()
        if not isinstance(credentials, RefreshableCredentials):
            return False
        seen = self._refreshes
        with self._refreshing:
            if self._refreshes == seen:
                # botocore fetches new ones when these end, and has no other way to be told so.
                # Where that fails now, every later signature tries it again.
                credentials._expiry_time = datetime.now(UTC)  # type: ignore[attr-defined]  # noqa: SLF001
                with contextlib.suppress(Exception):
                    credentials.get_frozen_credentials()
                self._refreshes += 1
        return True

    def call(self, request: Callable[[], Any], what: str) -> Any:
        """Send a request under the retry policy."""
        return self.retry.call(request, what)

    def _credentials(self) -> Any:
        try:
            credentials = self.session.get_credentials()
        except Exception as error:
            raise translate(error, "credentials") from error
        if credentials is None:
            raise AccessError(
                "no AWS credentials found",
                hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or try "
                "`orchestrator sandbox`",
            )
        return credentials

    def _make_session(self) -> boto3.Session:
        import boto3

        try:
            return boto3.Session(
                profile_name=self.settings.profile, region_name=self.settings.region
            )
        except Exception as error:
            raise translate(error, "configuration") from error

    def _make_boto(self) -> S3Client:
        from botocore.config import Config

        self._credentials()
        config = Config(
            # Set explicitly: presigned URLs for custom endpoints would be version 2 otherwise.
            signature_version="s3v4",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=STALL_TIMEOUT_SECONDS,
            max_pool_connections=self.settings.concurrency + 4,
            # Ceph's gateway refuses the trailing checksums that boto3 sends by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Every body goes with a signed checksum of ours. Over plain HTTP botocore would read
            # it all once more to sign it, through the rate limit too.
            s3={"payload_signing_enabled": False},
            user_agent_extra=USER_AGENT,
        )
        try:
            client = self.session.client(
                "s3",
                endpoint_url=self.settings.endpoint_url,
                region_name=self.region,
                config=config,
            )
        except ValueError as error:
            raise UsageError(str(error), hint="check --endpoint-url and --region") from error
        except Exception as error:
            raise translate(error, "configuration") from error
        self._check_ca_bundle(str(client.meta.endpoint_url))
        return client

    def _check_ca_bundle(self, endpoint_url: str) -> None:
        """Raise UsageError where the CA's file is missing; botocore says it cannot connect."""
        if (
            self.ca_bundle
            and endpoint_url.startswith("https:")
            and not Path(self.ca_bundle).exists()
        ):
            raise UsageError(f"AWS_CA_BUNDLE: no such file: {printable(self.ca_bundle)}")

    def _make_objects(self) -> S3Store:
        from obstore.store import S3Store

        self._check_ca_bundle(self.endpoint_url)
        options: dict[str, Any] = {
            "allow_http": self.endpoint_url.startswith("http://"),
            "connect_timeout": f"{CONNECT_TIMEOUT_SECONDS}s",
            "read_timeout": f"{STALL_TIMEOUT_SECONDS}s",
            # For the whole request: a range of 8 MiB over a poor link is slow, not stalled.
            "timeout": "15m",
            "user_agent": USER_AGENT,
        }
        if self.ca_bundle and not options["allow_http"]:
            options["root_certificate"] = Path(self.ca_bundle).read_bytes()
        location: dict[str, Any] = {"region": self.region}
        if self.is_aws and "." not in self.bucket:
            location["virtual_hosted_style_request"] = True
        else:
            location["endpoint"] = self.endpoint_url
        return S3Store(
            self.bucket,
            **location,
            checksum_algorithm="SHA256",
            client_options=cast("ClientConfig", options),
            retry_config={"max_retries": 0},
            # obstore keeps it where the garbage collector does not look: a reference back from
            # there would keep the clients and their connections for ever.
            credential_provider=_weakly(self._obstore_credential),
        )

    def _obstore_credential(self) -> Any:
        static = self.settings.static
        if static is not None:
            return {
                "access_key_id": static.access_key_id,
                "secret_access_key": static.secret_access_key,
                "token": static.session_token,
                "expires_at": None,
            }
        credentials = self._credentials()
        frozen = credentials.get_frozen_credentials()
        renewable = getattr(credentials, "_expiry_time", None) is not None
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            # Until then obstore does not ask again, whatever becomes of them. Asking costs little.
            "expires_at": datetime.now(UTC) if renewable else None,
        }

    @property
    def ca_bundle(self) -> str | None:
        """The file of the private CA, as the AWS configuration names it."""
        if self.settings.static is not None:
            return self.settings.static.ca_bundle
        # boto3 has no public way to read a configuration variable.
        bundle = self.session._session.get_config_variable("ca_bundle")  # noqa: SLF001
        return str(bundle) if bundle else None

    def _make_http(self) -> urllib3.PoolManager:
        import urllib3
        from botocore.utils import get_environ_proxies

        options: dict[str, Any] = {
            "maxsize": self.settings.concurrency + 4,
            "retries": False,
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=STALL_TIMEOUT_SECONDS),
            "headers": {"User-Agent": USER_AGENT},
        }
        if self.ca_bundle:
            options["ca_certs"] = self.ca_bundle
        proxies = get_environ_proxies(self.endpoint_url)
        proxy = proxies.get(urlsplit(self.endpoint_url).scheme)
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _weakly(method: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that calls a method without keeping its object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> Any:
        found = reference()
        return found() if found is not None else None

    return call
