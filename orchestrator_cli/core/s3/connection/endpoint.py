"""Resolve where the requests about a bucket go, and for which region they are signed.

The common forms are built here; access points, FIPS and the like go through botocore's rules, which
take longer to load than a request.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.connection.config import S3Config
from orchestrator_cli.core.s3.errors import map_exception
from orchestrator_cli.core.s3.regions import DOMAINS, is_region, partition_of

_AWS_DOMAINS = tuple(f".{domain}" for domain in DOMAINS)
# The names of directory buckets, and of access points of Outposts.
_SPECIAL_NAMES = ("--x-s3", "--op-s3")
# Without dots, which no certificate of AWS covers, and no directory bucket.
_HOST_LABEL = re.compile(r"(?!.*--x-s3$)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class BucketEndpoint(NamedTuple):
    """A bucket's URL without a slash at its end, and the region and service to sign for."""

    url: str
    region: str
    service: str = "s3"

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        return _is_aws(self.url)


# It is asked for every request.
@lru_cache(maxsize=8)
def _is_aws(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(_AWS_DOMAINS)


def resolve_endpoint(config: S3Config) -> BucketEndpoint:
    """Return where the bucket is. Raises UsageError for what cannot be addressed."""
    if config.bucket.startswith("arn:") or config.bucket.endswith(_SPECIAL_NAMES):
        return _by_rules(config)
    if config.endpoint_url is not None:
        if config.use_fips:
            hint = "unset AWS_USE_FIPS_ENDPOINT, or the endpoint: only AWS's own are known for FIPS"
            raise UsageError(f"{printable(config.endpoint_url)}: FIPS is demanded", hint=hint)
        return BucketEndpoint(_custom_url(config, config.endpoint_url), config.region)
    if config.use_fips or config.use_dualstack or config.use_accelerate:
        return _by_rules(config)
    host = service_host(config.region)
    if config.addressing_style == "path" or not _HOST_LABEL.fullmatch(config.bucket):
        return BucketEndpoint(f"https://{host}/{quote(config.bucket)}", config.region)
    return BucketEndpoint(f"https://{config.bucket}.{host}", config.region)


def service_host(region: str) -> str:
    """Return the host of AWS's S3 in a region."""
    if not is_region(region):
        raise UsageError(
            f"{printable(region)!r} is not a region", hint="check --region and AWS_REGION"
        )
    return f"s3.{region}.{partition_of(region).domain}"


def is_other_region(region: str, config: S3Config) -> bool:
    """Return True for a region to which requests about this bucket may safely go instead."""
    return (
        config.endpoint_url is None
        and not config.bucket.startswith("arn:")
        and region != config.region
        and is_region(region)
        and partition_of(region) == partition_of(config.region)
    )


def _custom_url(config: S3Config, endpoint_url: str) -> str:
    """Return the bucket's URL at a custom endpoint: path style, unless configured otherwise."""
    endpoint_url = endpoint_url.rstrip("/")
    scheme, _, rest = endpoint_url.partition("://")
    in_host = config.addressing_style == "virtual" and _HOST_LABEL.fullmatch(config.bucket)
    if in_host and not _is_address(urlsplit(endpoint_url).hostname or ""):
        return f"{scheme}://{config.bucket}.{rest}"
    return f"{endpoint_url}/{quote(config.bucket)}"


def _is_address(host: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _by_rules(config: S3Config) -> BucketEndpoint:
    from botocore.endpoint_provider import EndpointProvider
    from botocore.loaders import create_loader

    loader = create_loader()
    provider = EndpointProvider(
        loader.load_service_model("s3", "endpoint-rule-set-1"), loader.load_data("partitions")
    )
    asked: dict[str, Any] = {
        "Bucket": config.bucket,
        "Region": config.region,
        "UseFIPS": config.use_fips,
        "UseDualStack": config.use_dualstack,
        "Accelerate": config.use_accelerate,
        "ForcePathStyle": config.addressing_style == "path",
        "UseArnRegion": True,
        "DisableMultiRegionAccessPoints": False,
    }
    if config.endpoint_url is not None:
        asked["Endpoint"] = config.endpoint_url
    try:
        found = provider.resolve_endpoint(**asked)
    except Exception as error:
        raise map_exception(error, f"bucket {printable(config.bucket)}") from error
    return _from_rules(found, config)


def _from_rules(found: Any, config: S3Config) -> BucketEndpoint:
    schemes = found.properties.get("authSchemes", [])
    signing = next((scheme for scheme in schemes if scheme["name"] == "sigv4"), None)
    if signing is None:
        # Signature v4a of multi-region access points, sessions of directory buckets.
        raise UsageError(
            f"{printable(config.bucket)} cannot be used: its requests need another signature",
            hint="name a bucket, or an access point of one region",
        )
    return BucketEndpoint(
        found.url.rstrip("/"),
        signing.get("signingRegion", config.region),
        signing.get("signingName", "s3"),
    )
