"""The session of one bucket: where it is, by whose credentials, and the connection to it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.retry import RetryPolicy, without_retries
from orchestrator_cli.core.files.small_file import check_small_file
from orchestrator_cli.core.http.proxy import proxy_variables
from orchestrator_cli.core.http.transport import STALL_TIMEOUT_SECONDS, RateLimit
from orchestrator_cli.core.s3.connection.config import S3Settings, resolve_config
from orchestrator_cli.core.s3.connection.connection import Connection
from orchestrator_cli.core.s3.connection.credentials import (
    ChainCredentials,
    CredentialLifetime,
    StaticCredentials,
    static_credentials,
)
from orchestrator_cli.core.s3.connection.endpoint import (
    is_other_region,
    resolve_endpoint,
    service_host,
)
from orchestrator_cli.core.s3.connection.signing import SigningCodec
from orchestrator_cli.core.s3.error_codes import EXPIRED_CODES
from orchestrator_cli.core.s3.errors import WrongRegionError
from orchestrator_cli.core.s3.sigv4 import SigningKey

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client as BotoClient

    from orchestrator_cli.core.http.curl.options import ClientOptions


class S3Session:
    """Where one bucket is, and who asks it. Safe to share between threads."""

    def __init__(
        self,
        settings: S3Settings,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """Resolve the settings; `rate_limit` is for the bodies of requests.

        Raises UsageError and AccessError where they cannot be used.
        """
        self.settings = settings
        self.bucket = settings.bucket
        self.config = resolve_config(settings)
        self._endpoint = resolve_endpoint(self.config)
        self._credentials = self._find_credentials()
        # Several threads may need the first client at once; making one is not thread-safe.
        self._lock = threading.RLock()
        self._has_moved = False
        self._boto: BotoClient | None = None
        self.connection = Connection(
            SigningCodec(lambda: self.bucket_url, self.signing_key, settings.demands),
            lambda: self.client_options,
            replace(retry or RetryPolicy(), recover=self._recover),
            max_in_flight=settings.concurrency,
            rate_limit=rate_limit,
        )

    def reopened(self) -> S3Session:
        """Return a session that works after this one was told to stop, without retries."""
        return S3Session(self.settings, without_retries())

    # --- where the bucket is --------------------------------------------------------------

    @property
    def bucket_url(self) -> str:
        """The bucket's URL, without a slash at its end."""
        return self._endpoint.url

    @property
    def endpoint_url(self) -> str:
        """The endpoint in use."""
        return self.config.endpoint_url or f"https://{service_host(self.config.region)}"

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return self._endpoint.region

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        return self._endpoint.is_aws

    def follow_region(self, name: str) -> bool:
        """Switch to the region that S3 names as the bucket's; return True for signing anew.

        That is safe at AWS itself and inside one partition, and done once in a session: two regions
        that each name the other would be followed for ever.
        """
        with self._lock:
            if not self._has_moved and is_other_region(name, self.config):
                self.config = self.config._replace(region=name)
                self._endpoint = resolve_endpoint(self.config)
                self._has_moved, self._boto = True, None
            return self._has_moved and self.config.region == name

    # --- credentials ----------------------------------------------------------------------

    def credential_lifetime(self) -> CredentialLifetime:
        """Return how long requests signed now stay good. Raises AccessError without credentials."""
        return self._credentials.lifetime()

    @property
    def awaits_credentials(self) -> bool:
        """Whether a request waits for credentials right now, and not for S3."""
        return self._credentials.is_asking

    def signing_key(self) -> SigningKey:
        """Return the credentials of this moment. Raises AccessError without any."""
        now, endpoint = self._credentials.get(), self._endpoint
        return SigningKey(
            now.access_key_id,
            now.secret_access_key,
            now.session_token,
            endpoint.region,
            endpoint.service,
        )

    def _recover(self, error: OrchestratorError) -> bool:
        """Try to recover from a final error by new credentials or another region.

        Return True for a retry.
        """
        if isinstance(error, WrongRegionError):
            return error.region is not None and self.follow_region(error.region)
        return error.code in EXPIRED_CODES and self._credentials.refresh()

    def _find_credentials(self) -> StaticCredentials | ChainCredentials:
        """Return whose credentials are used: a profile that an option names is before all else."""
        config, environment = self.config, self.settings.environment
        static = None if config.profile else static_credentials(environment)
        return static or ChainCredentials(
            config.profile, config.region, environment, lambda: self.client_options
        )

    # --- how requests are sent -----------------------------------------------------------

    @property
    def client_options(self) -> ClientOptions:
        """How requests are sent: proxies and CAs as the AWS configuration and the settings say.

        Raises UsageError where the CA's file cannot be read.
        """
        from orchestrator_cli.core.http.curl.options import ClientOptions

        file = self.config.ca_bundle
        if file and self.bucket_url.startswith("https:"):
            # botocore would say that it cannot connect.
            check_small_file("AWS_CA_BUNDLE", file)
        return ClientOptions(
            ca_bundle=file,
            proxies=proxy_variables(self.settings.environment),
            stall_timeout_seconds=STALL_TIMEOUT_SECONDS,
        )

    @property
    def boto(self) -> BotoClient:
        """The control plane. Its own retries are off: RetryPolicy decides."""
        with self._lock:
            if self._boto is None:
                from orchestrator_cli.core.s3.connection.control_plane import make_boto_client

                self._credentials.get()
                self._boto = make_boto_client(
                    self.config, self.client_options, self.settings.demands
                )
            return self._boto
