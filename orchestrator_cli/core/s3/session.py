"""Clients and credentials: boto3 where only it knows, our own for everything that has to be fast.

Each is made when first asked for, so a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlsplit

from orchestrator_cli import __version__
from orchestrator_cli.core.base.cancellation import BoundToken
from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import RateLimit, Task, Transport
from orchestrator_cli.core.s3.access import DEFAULT_REGION, DirectAccess
from orchestrator_cli.core.s3.client import S3Client, map_request_error
from orchestrator_cli.core.s3.credentials import Credentials, CredentialSource
from orchestrator_cli.core.s3.error_codes import EXPIRED_CODES
from orchestrator_cli.core.s3.errors import expired_after_refresh, map_exception
from orchestrator_cli.core.s3.request import Operation
from orchestrator_cli.core.s3.sigv4 import SigningKey

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client as BotoClient

    from orchestrator_cli.core.http.curl_loop import CurlLoop
    from orchestrator_cli.core.http.curl_options import ClientOptions

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10
# How long nothing may move in either direction, not for a whole transfer.
STALL_TIMEOUT_SECONDS = 60
USER_AGENT = f"orchestrator/{__version__}"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is and who asks. None means: as the AWS configuration says.

    `proxies` has `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as the environment names
    them in lower or upper case.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    concurrency: int = 16
    connections: int = 256
    direct: DirectAccess | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CredentialLifetime:
    """Until when requests signed now are good. `expires_at` is None where it is not known."""

    temporary: bool
    expires_at: datetime | None


class S3Session:
    """The clients of one bucket. Safe to share between threads."""

    def __init__(
        self,
        settings: S3Settings,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """`rate_limit` is for the bodies of requests."""
        self.settings = settings
        self.bucket = settings.bucket
        self.retry = replace(
            retry or RetryPolicy(), map_error=map_request_error, recover=self._recover
        )
        self._rate_limit = rate_limit
        # Several threads may ask for the first client at once; making one is not thread-safe.
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}

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
    def boto(self) -> BotoClient:
        """The control plane. Its own retries are off: RetryPolicy decides."""
        return self._made_once("boto", self._make_boto)

    @property
    def client(self) -> S3Client:
        """Runs the operations of S3's REST API."""
        return self._made_once("client", lambda: S3Client(self, lambda: self.transport, self.retry))

    @property
    def transport(self) -> Transport:
        """Sends one request at a time, from any thread."""
        return self._made_once("transport", self._make_transport)

    @property
    def client_options(self) -> ClientOptions:
        """How requests are sent: proxies and CAs as the AWS configuration and the settings say."""
        return self._made_once("client_options", self._make_client_options)

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result. Raises the library's exceptions."""
        return self.client.run(operation)

    def task(
        self, operation: Operation[T], on_throttled: Callable[[], object] | None = None
    ) -> Task[T]:
        """Return an operation as a task for a loop: see `S3Client.task`."""
        return self.client.task(operation, on_throttled)

    def loop(self, max_in_flight: int = 256) -> CurlLoop:
        """Return a loop for the thread that calls this; it is closed by the caller."""
        from orchestrator_cli.core.http.curl_loop import CurlLoop

        return CurlLoop(
            self.client_options,
            max_in_flight=max_in_flight,
            stop=self.retry.token,
            rate_limit=self._rate_limit,
        )

    @property
    def endpoint_url(self) -> str:
        """The endpoint in use."""
        direct = self.settings.direct
        return direct.url if direct else str(self.boto.meta.endpoint_url)

    @property
    def bucket_url(self) -> str:
        """The bucket's URL, without a slash at its end."""
        return self._made_once("bucket_url", self._find_bucket_url)

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        direct = self.settings.direct
        return direct.region if direct else self.session.region_name or DEFAULT_REGION

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        host = urlsplit(self.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def credential_lifetime(self) -> CredentialLifetime:
        """Return how long requests signed now stay good. Raises AccessError without credentials."""
        credentials = self._source.current()
        expires_at = credentials.expires_at
        return CredentialLifetime(
            bool(credentials.session_token) or expires_at is not None, expires_at
        )

    def signing_key(self) -> SigningKey:
        """Return the credentials of this moment. Raises AccessError without any."""
        now = self._source.current()
        return SigningKey(now.access_key_id, now.secret_access_key, now.session_token, self.region)

    def refresh_credentials(self) -> bool:
        """Fetch new credentials although the present ones seem good; say if that makes sense."""
        return self._source.refresh()

    def _recover(self, error: OrchestratorError) -> bool:
        """Do something about an error that is final as things stand; return True for a retry."""
        is_expired = isinstance(error, AccessError) and error.code in EXPIRED_CODES
        return is_expired and self.refresh_credentials()

    @property
    def _source(self) -> CredentialSource:
        return self._made_once("source", self._make_source)

    def _make_source(self) -> CredentialSource:
        direct = self.settings.direct
        return direct.credentials if direct else BotoCredentials(self.session)

    def _make_session(self) -> boto3.Session:
        import boto3

        try:
            return boto3.Session(
                profile_name=self.settings.profile, region_name=self.settings.region
            )
        except Exception as error:
            raise map_exception(error, "configuration") from error

    def _make_boto(self) -> BotoClient:
        from botocore.config import Config

        self._source.current()
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
            raise map_exception(error, "configuration") from error
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

    @property
    def ca_bundle(self) -> str | None:
        """The file of the private CA, as the AWS configuration names it."""
        if self.settings.direct is not None:
            return self.settings.direct.ca_bundle
        # boto3 has no public way to read a configuration variable.
        bundle = self.session._session.get_config_variable("ca_bundle")  # noqa: SLF001
        return str(bundle) if bundle else None

    def _make_client_options(self) -> ClientOptions:
        from orchestrator_cli.core.http.curl_options import ClientOptions

        self._check_ca_bundle(self.bucket_url)
        return ClientOptions(
            ca_bundle=self.ca_bundle,
            proxies=self.settings.proxies,
            user_agent=USER_AGENT,
            connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
            stall_timeout_seconds=STALL_TIMEOUT_SECONDS,
        )

    def _make_transport(self) -> Transport:
        from orchestrator_cli.core.http.curl_easy import EasyTransport

        return EasyTransport(self.client_options, BoundToken(self.retry.stop), self._rate_limit)

    def _find_bucket_url(self) -> str:
        if self.settings.direct is None:
            # boto3 decides where the bucket is addressed: in the host or in the path.
            url = self.boto.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": "k"}, ExpiresIn=60
            )
            return url.partition("?")[0].removesuffix("/k")
        if not self.is_aws or "." in self.bucket:
            return f"{self.endpoint_url.rstrip('/')}/{quote(self.bucket)}"
        scheme, _, rest = self.endpoint_url.rstrip("/").partition("://")
        return f"{scheme}://{self.bucket}.{rest}"


class BotoCredentials:
    """The credentials of the AWS chain, as boto3 finds them. Safe to share between threads."""

    def __init__(self, session: boto3.Session) -> None:
        self._session = session
        self._refreshing = threading.Lock()
        self._refreshes = 0

    def current(self) -> Credentials:
        """Return the credentials of this moment. Raises AccessError."""
        found = self._find()
        try:
            # Those of a role are fetched only now, and those about to end are fetched anew.
            frozen = found.get_frozen_credentials()
        except RuntimeError as error:
            # botocore has no other type for fresh credentials that have ended already.
            raise expired_after_refresh() from error
        except Exception as error:
            raise map_exception(error, "credentials") from error
        # botocore has no public name for it; RefreshableCredentials has kept this one for years.
        expires_at = getattr(found, "_expiry_time", None)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, expires_at)

    def refresh(self) -> bool:
        """Fetch new ones. Threads that ask while it is done share what comes of it."""
        from botocore.credentials import RefreshableCredentials

        found = self._find()
        if not isinstance(found, RefreshableCredentials):
            return False
        seen = self._refreshes
        with self._refreshing:
            if self._refreshes == seen:
                # botocore fetches new ones when these end, and has no other way to be told so.
                # Where that fails now, every later signature tries it again.
                found._expiry_time = datetime.now(UTC)  # type: ignore[attr-defined]  # noqa: SLF001
                with contextlib.suppress(Exception):
                    found.get_frozen_credentials()
                self._refreshes += 1
        return True

    def _find(self) -> Any:
        try:
            found = self._session.get_credentials()
        except Exception as error:
            raise map_exception(error, "credentials") from error
        if found is None:
            raise AccessError(
                "no AWS credentials found",
                hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or try "
                "`orchestrator sandbox`",
            )
        return found
