"""The boto3 client, for the settings of a bucket: lifecycle, versioning, encryption, policies.

It carries no bodies and lists no objects: it costs too much for that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.connection.config import S3Config
from orchestrator_cli.core.s3.demands import BucketDemands
from orchestrator_cli.core.s3.errors import map_exception

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from orchestrator_cli.core.http.curl.options import ClientOptions


def make_boto_client(config: S3Config, options: ClientOptions, demands: BucketDemands) -> S3Client:
    """Return a client for this bucket; it finds its credentials by the same chain.

    `options` say how its requests are sent. Its own retries are off. Raises UsageError for what
    cannot be an endpoint, AccessError for a profile that cannot be used.
    """
    import boto3
    from botocore.config import Config

    from orchestrator_cli.core.s3.connection.boto_transport import make_session

    # Over plain HTTP botocore would read a body once more to sign it.
    s3: Any = {"addressing_style": config.addressing_style, "payload_signing_enabled": False}
    client_config = Config(
        # Set explicitly: presigned URLs for custom endpoints would be version 2 otherwise.
        signature_version="s3v4",
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Ceph's gateway refuses the trailing checksums that boto3 sends by default.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        use_fips_endpoint=config.use_fips,
        use_dualstack_endpoint=config.use_dualstack,
        s3=s3,
        user_agent_extra=options.user_agent,
    )
    try:
        session = make_session(config.profile, config.region, options)
        client = boto3.Session(botocore_session=session).client(
            "s3", endpoint_url=config.endpoint_url, config=client_config
        )
    except ValueError as error:
        hint = "check --endpoint-url and --region"
        raise UsageError(printable(error), hint=hint, is_fatal=True) from error
    except Exception as error:
        raise map_exception(error, "configuration") from error
    client.meta.events.register("before-sign.s3", partial(_add_demanded, demands))
    return client


def _add_demanded(demands: BucketDemands, request: Any, operation_name: str, **_: Any) -> None:
    makes_object = operation_name in {"PutObject", "CreateMultipartUpload"}
    more = demands.object_headers() if makes_object else {}
    for name, value in {**demands.access_headers(), **more}.items():
        request.headers[name] = value
