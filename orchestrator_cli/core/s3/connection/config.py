"""Resolve endpoint and region from the options, the environment and the AWS configuration files.

Botocore's session would cost more than a request; only its parser of those files is needed here,
and only where there are such files.
https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.small_file import check_small_file
from orchestrator_cli.core.http.url import is_service_url
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.core.s3.errors import map_exception

DEFAULT_REGION = "us-east-1"
# As boto3 has it, which is more liberal than AWS is for new buckets.
_BUCKET = r"[A-Za-z0-9._-]{1,255}"
# An access point, of one region or several, or one of Outposts: boto3 takes them for buckets too.
_ACCESS_POINT = (
    r"arn:aws[\w-]*:(s3|s3-outposts|s3-object-lambda):[a-z0-9-]*:\d{12}:"
    r"(accesspoint[/:][\w.-]{1,255}|outpost[/:][\w-]{1,63}[/:]accesspoint[/:][\w-]{1,63})"
)


def is_bucket_name(text: str) -> bool:
    """Return True for the name of a bucket and for the ARN of an access point."""
    return bool(re.fullmatch(_BUCKET, text) or re.fullmatch(_ACCESS_POINT, text))


class S3Settings(NamedTuple):
    """A bucket and its options. None means: as the AWS configuration says.

    `environment` has the variables of AWS: keys, region, endpoint, profile, CA, proxies.
    `demands` is what the bucket asks of every request.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    concurrency: int = 16
    environment: Mapping[str, str] = MappingProxyType({})
    demands: BucketDemands = NO_DEMANDS


class S3Config(NamedTuple):
    """Where a bucket is, how it is addressed, and whom TLS trusts.

    `endpoint_url` None means AWS itself. `profile` is the one that was asked for by an option,
    which credentials in the environment give way to.
    """

    bucket: str
    region: str = DEFAULT_REGION
    endpoint_url: str | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    addressing_style: str = "auto"
    use_fips: bool = False
    use_dualstack: bool = False
    use_accelerate: bool = False


class _Profile(NamedTuple):
    """The settings of one profile, and of the services section that it names."""

    settings: Mapping[str, Any] = MappingProxyType({})
    s3_service: Mapping[str, str] = MappingProxyType({})

    @property
    def s3(self) -> Mapping[str, str]:
        """The nested settings of S3."""
        nested = self.settings.get("s3")
        return nested if isinstance(nested, dict) else {}


def resolve_config(settings: S3Settings) -> S3Config:
    """Resolve the settings: an option first, then the environment, then the profile.

    Raises UsageError for what cannot be an endpoint or a configuration file, AccessError for a
    profile that nobody has configured.
    """
    environment = settings.environment
    known = _load_profile(environment, settings.profile)
    endpoint_url = settings.endpoint_url or _endpoint_url(environment, known)
    if endpoint_url is not None:
        _check_endpoint(endpoint_url)
    region = (
        settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    )
    ca_bundle = environment.get("AWS_CA_BUNDLE") or known.settings.get("ca_bundle")
    return S3Config(
        settings.bucket,
        region or known.settings.get("region") or DEFAULT_REGION,
        endpoint_url,
        settings.profile,
        ca_bundle or environment.get("REQUESTS_CA_BUNDLE") or None,
        known.s3.get("addressing_style", "auto"),
        use_fips=_is_on(environment, "AWS_USE_FIPS_ENDPOINT", known.settings, "use_fips_endpoint"),
        use_dualstack=_is_on(
            environment,
            "AWS_USE_DUALSTACK_ENDPOINT",
            {**known.s3, **known.settings},
            "use_dualstack_endpoint",
        ),
        use_accelerate=_is_on({}, "", known.s3, "use_accelerate_endpoint"),
    )


def _endpoint_url(environment: Mapping[str, str], profile: _Profile) -> str | None:
    """Return the endpoint that is configured: the service's own before the general one."""
    if _is_on(
        environment,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        profile.settings,
        "ignore_configured_endpoint_urls",
    ):
        return None
    return (
        environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or profile.s3_service.get("endpoint_url")
        or profile.settings.get("endpoint_url")
        or None
    )


def _is_on(
    environment: Mapping[str, str], variable: str, settings: Mapping[str, Any], name: str
) -> bool:
    return str(environment.get(variable) or settings.get(name, "")).lower() == "true"


def _load_profile(environment: Mapping[str, str], asked: str | None) -> _Profile:
    """Return the settings of the profile in use; none where there is no configuration file."""
    named = asked or environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    config = _load_file(environment.get("AWS_CONFIG_FILE") or "~/.aws/config")
    # Its sections have the bare names of profiles.
    keys = _load_file(
        environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", in_profiles=False
    )
    profile = named or "default"
    sections = [config.get("profiles", {}).get(profile), keys.get(profile)]
    if named and not any(section is not None for section in sections):
        hint = "check --profile, AWS_PROFILE and ~/.aws/config"
        message = f"the profile {printable(named)!r} is not configured"
        raise AccessError(message, hint=hint, is_fatal=True)
    settings = {name: text for section in sections for name, text in (section or {}).items()}
    service = config.get("services", {}).get(settings.get("services"), {}).get("s3")
    return _Profile(settings, service if isinstance(service, dict) else {})


def _load_file(file: str, in_profiles: bool = True) -> dict[str, Any]:
    """Return the sections of a file; none where there is no such file."""
    expanded = os.path.expanduser(file)
    if not os.path.isfile(expanded):
        return {}
    check_small_file("AWS configuration", expanded)
    from botocore.configloader import load_config, raw_config_parse
    from botocore.exceptions import ConfigParseError

    try:
        return dict(load_config(file) if in_profiles else raw_config_parse(file))
    except ConfigParseError as error:
        raise map_exception(error, printable(file)) from error


def _check_endpoint(url: str) -> None:
    if not is_service_url(url) or set(url) & set("?#"):
        hint = "it is http:// or https://, a host and maybe a port: check --endpoint-url"
        # What stands before its host may be a password.
        _, at, host = url.rpartition("@")
        shown = printable(f"…@{host}" if at else url)
        raise UsageError(f"{shown!r} is not an endpoint", hint=hint)
