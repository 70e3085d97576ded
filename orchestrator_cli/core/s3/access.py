"""Endpoint, region and credentials, where the environment alone decides them.

Boto3's import costs more than a request; it is needed only where an AWS configuration file, SSO or
an instance's role may have a say.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.pool import make_pool
from orchestrator_cli.core.s3.credentials import (
    ContainerEndpoint,
    Credentials,
    CredentialSource,
    FetchedCredentials,
    StaticCredentials,
    WebIdentity,
    fetch_patiently,
)

DEFAULT_REGION = "us-east-1"
_TASK_ENDPOINT = "http://169.254.170.2"
# Plain HTTP carries credentials to nowhere else than the machine itself.
_METADATA_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost")
# Variables of which only boto3 knows all that they change.
_BOTO_ONLY = ("AWS_PROFILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_LEGACY_STS = "AWS_STS_REGIONAL_ENDPOINTS"

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

# The endpoints of containers and clusters are near.
_METADATA_SECONDS = 2


@dataclass(frozen=True, slots=True)
class DirectAccess:
    """Who asks, for which region, at which endpoint. `endpoint_url` None means AWS itself."""

    credentials: CredentialSource
    region: str
    endpoint_url: str | None = None
    ca_bundle: str | None = None

    @property
    def url(self) -> str:
        """The endpoint in use."""
        return self.endpoint_url or f"https://s3.{self.region}.{_aws_domain(self.region)}"


def may_need_proxy(environment: Mapping[str, str]) -> bool:
    """Say whether a proxy may be set up; finding out which takes an import."""
    names = {name.lower() for name in environment}
    return sys.platform == "darwin" or not names.isdisjoint(_PROXIES)


@dataclass(frozen=True, slots=True)
class Asked:
    """What options say of region, endpoint and profile, and which AWS files there are."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    config_file: bool = False
    credentials_file: bool = False


def direct_access(asked: Asked, environment: Mapping[str, str]) -> DirectAccess | None:
    """Return what the environment alone decides, or None where boto3 must work it out.

    Raises UsageError for what cannot be an endpoint.
    """
    if asked.config_file or asked.profile or any(map(environment.get, _BOTO_ONLY)):
        return None
    endpoint = asked.endpoint_url or _endpoint(environment, "AWS_ENDPOINT_URL_S3")
    region = asked.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        return None
    if endpoint is not None:
        _check_endpoint(endpoint)
    region = region or DEFAULT_REGION
    bundle = environment.get("AWS_CA_BUNDLE") or environment.get("REQUESTS_CA_BUNDLE")
    source = _source(asked, environment, region, bundle)
    return DirectAccess(source, region, endpoint, bundle) if source else None


def _source(
    asked: Asked, environment: Mapping[str, str], region: str, bundle: str | None
) -> CredentialSource | None:
    """Go through the SDKs' chain as far as it can be followed here."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return _static(key, secret, environment)
    if key or secret:
        return None
    identity = _web_identity(environment, region)
    if identity is not None:
        far = partial(make_pool, identity.sts_url, bundle, proxied=may_need_proxy(environment))
        return _fetched(lambda: identity.fetch(far()))
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") or asked.credentials_file:
        return None
    container = _container(environment)
    if container is None:
        return None
    near = partial(make_pool, container.url, stall_seconds=_METADATA_SECONDS, proxied=False)
    return _fetched(lambda: container.fetch(near()))


def _static(key: str, secret: str, environment: Mapping[str, str]) -> CredentialSource | None:
    token = environment.get("AWS_SESSION_TOKEN") or environment.get("AWS_SECURITY_TOKEN")
    ends = environment.get("AWS_CREDENTIAL_EXPIRATION")
    try:
        expires_at = datetime.fromisoformat(ends) if ends else None
    except ValueError:
        return None
    if expires_at is not None and expires_at.tzinfo is None:
        return None
    return StaticCredentials(Credentials(key, secret, token or None, expires_at))


def _fetched(fetch: Callable[[], Credentials]) -> FetchedCredentials:
    return FetchedCredentials(lambda: fetch_patiently(fetch, time.sleep))


def _web_identity(environment: Mapping[str, str], region: str) -> WebIdentity | None:
    file, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN")
    if not file or not role or environment.get(_LEGACY_STS, "regional") != "regional":
        return None
    own = _endpoint(environment, "AWS_ENDPOINT_URL_STS")
    url = own or f"https://sts.{region}.{_aws_domain(region)}"
    name = environment.get("AWS_ROLE_SESSION_NAME") or f"orchestrator-{int(time.time())}"
    return WebIdentity(url, role, name, file)


def _container(environment: Mapping[str, str]) -> ContainerEndpoint | None:
    path = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if path:
        return ContainerEndpoint(_TASK_ENDPOINT + path)
    url = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url or not _may_be_asked(url):
        return None
    return ContainerEndpoint(
        url,
        environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    )


def _may_be_asked(url: str) -> bool:
    from ipaddress import ip_address

    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host in _METADATA_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _endpoint(environment: Mapping[str, str], service: str) -> str | None:
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return environment.get(service) or environment.get("AWS_ENDPOINT_URL") or None


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        valid = False
    if not valid:
        hint = "it is http:// or https://, a host and maybe a port: check --endpoint-url"
        raise UsageError(f"{printable(url)!r} is not an endpoint", hint=hint)


def _aws_domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
