"""Options, environment and AWS configuration files decide as they do in the AWS SDKs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import create_loader
from botocore.session import Session

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.http.transport import Request, Response, Sleep
from orchestrator_cli.core.s3.connection.config import (
    S3Config,
    S3Settings,
    is_bucket_name,
    resolve_config,
)
from orchestrator_cli.core.s3.connection.endpoint import BucketEndpoint, resolve_endpoint
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.errors import WrongRegionError
from orchestrator_cli.core.s3.operations.read import get_object

ACCESS_POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/runs"
MULTI_REGION = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01ac5d28a6a232904/accesspoint/runs"
OUTPOST_ALIAS = "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"
FILES = """
[default]
region = eu-west-3
ca_bundle = /default.pem

[profile bench]
region = us-gov-west-1
endpoint_url = https://general.example
services = lab
use_fips_endpoint = true
s3 =
  addressing_style = virtual
  use_dualstack_endpoint = true

[profile plain]
endpoint_url = https://general.example

[services lab]
s3 =
  endpoint_url = https://s3.example:9000
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The variables that lead to a configuration file, and to one of credentials."""
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(FILES)
    credentials.write_text(
        "[keys]\naws_access_key_id = AKID\naws_secret_access_key = secret\nregion = ap-south-1\n"
    )
    return {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}


def resolved(environment: dict[str, str], **options: str) -> S3Config:
    return resolve_config(S3Settings("bucket", environment=environment, **options))  # type: ignore[arg-type]


# --- which setting wins ----------------------------------------------------------------------


def test_nothing_configured_is_aws_itself() -> None:
    assert resolved({}) == S3Config("bucket", "us-east-1")


def test_options_beat_the_environment_and_the_services_own_endpoint_the_general_one() -> None:
    both = {"AWS_ENDPOINT_URL": "http://any:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}
    assert resolved(both).endpoint_url == "http://s3:2"
    assert resolved(both, endpoint_url="https://mine:3").endpoint_url == "https://mine:3"
    ignored = both | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert resolved(ignored).endpoint_url is None
    regions = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-west-1"}
    assert resolved(regions).region == "eu-central-1"
    assert resolved(regions, region="us-west-2").region == "us-west-2"


def test_the_default_profile_is_read_without_being_named(files: dict[str, str]) -> None:
    config = resolved(files)
    assert (config.region, config.ca_bundle) == ("eu-west-3", "/default.pem")
    assert resolved(files | {"AWS_CA_BUNDLE": "/mine.pem"}).ca_bundle == "/mine.pem"
    assert resolved({"REQUESTS_CA_BUNDLE": "/other.pem"}).ca_bundle == "/other.pem"


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_says_endpoint_region_and_addressing(
    files: dict[str, str], variable: str
) -> None:
    config = resolved(files | {variable: "bench"})
    assert config.region == "us-gov-west-1"
    assert config.endpoint_url == "https://s3.example:9000"
    assert config.addressing_style == "virtual"
    assert (config.use_fips, config.use_dualstack, config.use_accelerate) == (True, True, False)
    # Only an option puts a profile's keys before those of the environment.
    assert config.profile is None
    assert resolved(files, profile="bench").profile == "bench"


def test_the_environment_beats_the_profile(files: dict[str, str]) -> None:
    environment = files | {"AWS_PROFILE": "bench", "AWS_REGION": "us-east-2"}
    environment |= {"AWS_ENDPOINT_URL": "http://mine:1", "AWS_USE_FIPS_ENDPOINT": "false"}
    config = resolved(environment)
    assert (config.region, config.endpoint_url) == ("us-east-2", "http://mine:1")
    assert not config.use_fips


def test_an_endpoint_for_all_services_is_one_for_s3(files: dict[str, str]) -> None:
    assert resolved(files, profile="plain").endpoint_url == "https://general.example"


def test_the_file_of_credentials_has_profiles_too(files: dict[str, str]) -> None:
    assert resolved(files, profile="keys").region == "ap-south-1"


def test_what_the_profile_says_is_what_botocore_reads(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        monkeypatch.setenv(name, text)
    for profile in ("default", "bench", "plain", "keys"):
        client = Session(profile=profile).create_client("s3")
        config = resolved(files, profile=profile)
        assert client.meta.region_name == config.region
        if config.endpoint_url:
            assert client.meta.endpoint_url == config.endpoint_url
        client.close()


@pytest.mark.parametrize(
    "variables", [{"AWS_PROFILE": "nobody"}, {"AWS_DEFAULT_PROFILE": "nobody"}]
)
def test_a_profile_that_nobody_has_configured_is_an_access_error(
    files: dict[str, str], variables: dict[str, str]
) -> None:
    with pytest.raises(AccessError, match="nobody"):
        resolved(files | variables)
    with pytest.raises(AccessError, match="nobody"):
        resolved({"AWS_CONFIG_FILE": "/dev/null"}, profile="nobody")


def test_a_file_that_is_none_of_configuration_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("no section")
    with pytest.raises(UsageError, match="config"):
        resolved({"AWS_CONFIG_FILE": str(file)})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x:1",
        "http://",
        "http://x:y",
        "nonsense",
        "http://x\n",
        "http://x/a b",
        "http://ü",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an endpoint"):
        resolved({}, endpoint_url=url)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("bucket", True),
        ("dotted.bucket", True),
        ("Old_Bucket", True),
        (ACCESS_POINT, True),
        (MULTI_REGION, True),
        (OUTPOST, True),
        ("bucket/prefix", False),
        ("a b", False),
        ("arn:aws:s3:::bucket", False),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/a/b", False),
        ("", False),
    ],
)
def test_a_bucket_has_a_plain_name_or_is_an_access_point(name: str, valid: bool) -> None:
    assert is_bucket_name(name) is valid


# --- where that is ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rules() -> EndpointProvider:
    """The rules by which botocore's own clients find their endpoint."""
    loader = create_loader()
    ruleset = loader.load_service_model("s3", "endpoint-rule-set-1")
    return EndpointProvider(ruleset, loader.load_data("partitions"))


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1",
        "eu-west-1",
        "ap-southeast-4",
        "cn-north-1",
        "us-gov-west-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "us-isof-south-1",
        "eu-isoe-west-1",
        "eusc-de-east-1",
    ],
)
@pytest.mark.parametrize("bucket", ["bucket", "dotted.bucket", "Old_Bucket"])
@pytest.mark.parametrize("style", ["auto", "path", "virtual"])
def test_every_region_is_addressed_as_the_rules_of_aws_have_it(
    rules: EndpointProvider, region: str, bucket: str, style: str
) -> None:
    found = resolve_endpoint(S3Config(bucket, region, addressing_style=style))
    ruled = rules.resolve_endpoint(
        Bucket=bucket,
        Region=region,
        UseFIPS=False,
        UseDualStack=False,
        Accelerate=False,
        ForcePathStyle=style == "path",
    )
    assert found == BucketEndpoint(ruled.url, region)
    assert found.is_aws


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            S3Config("bucket", "eu-west-1", use_fips=True),
            BucketEndpoint("https://bucket.s3-fips.eu-west-1.amazonaws.com", "eu-west-1"),
        ),
        (
            S3Config("bucket", "eu-west-1", use_dualstack=True),
            BucketEndpoint("https://bucket.s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ),
        (
            S3Config("bucket", "eu-west-1", use_accelerate=True),
            BucketEndpoint("https://bucket.s3-accelerate.amazonaws.com", "eu-west-1"),
        ),
        (
            # Signed for the region of the access point, whatever is configured.
            S3Config(ACCESS_POINT, "us-east-1"),
            BucketEndpoint(
                "https://runs-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "eu-west-1"
            ),
        ),
        (
            S3Config(OUTPOST, "us-west-2"),
            BucketEndpoint(
                "https://runs-123456789012.op-01ac5d28a6a232904.s3-outposts.us-west-2.amazonaws.com",
                "us-west-2",
                "s3-outposts",
            ),
        ),
        (
            S3Config(OUTPOST_ALIAS, "us-west-2"),
            BucketEndpoint(
                f"https://{OUTPOST_ALIAS}.op-0b1d075431d83bebd.s3-outposts.us-west-2.amazonaws.com",
                "us-west-2",
                "s3-outposts",
            ),
        ),
    ],
)
def test_what_is_not_plain_goes_by_the_rules_of_aws(
    config: S3Config, expected: BucketEndpoint
) -> None:
    assert resolve_endpoint(config) == expected


@pytest.mark.parametrize("bucket", [MULTI_REGION, "runs--usw2-az1--x-s3"])
def test_what_needs_another_signature_is_said(bucket: str) -> None:
    with pytest.raises(UsageError, match="another signature"):
        resolve_endpoint(S3Config(bucket, "us-west-2"))


@pytest.mark.parametrize(
    ("endpoint_url", "style", "url"),
    [
        ("http://ceph.example:7480/", "auto", "http://ceph.example:7480/bucket"),
        ("http://ceph.example:7480", "virtual", "http://bucket.ceph.example:7480"),
        ("http://127.0.0.1:9000", "virtual", "http://127.0.0.1:9000/bucket"),
        ("https://example/s3", "auto", "https://example/s3/bucket"),
    ],
)
def test_an_endpoint_of_the_users_own_is_not_aws(endpoint_url: str, style: str, url: str) -> None:
    found = resolve_endpoint(S3Config("bucket", "r", endpoint_url, addressing_style=style))
    assert found == BucketEndpoint(url, "r")
    assert not found.is_aws


def test_fips_is_not_forgotten_at_an_endpoint_of_the_users_own() -> None:
    with pytest.raises(UsageError, match="FIPS is demanded"):
        resolve_endpoint(S3Config("bucket", "r", "https://ceph.example", use_fips=True))


@pytest.mark.parametrize("region", ["x y", "evil.example/", "eu-west-1.evil", "", "EU"])
def test_what_is_no_region_is_no_host(region: str) -> None:
    with pytest.raises(UsageError, match="not a region"):
        resolve_endpoint(S3Config("bucket", region))


# --- another region than was thought ---------------------------------------------------------


def session(**options: str) -> S3Session:
    return S3Session(S3Settings("bucket", **options))  # type: ignore[arg-type]


def test_the_right_region_is_followed_once() -> None:
    moved = session(region="us-east-1")
    assert moved.follow_region("eu-west-1")
    assert moved.region == "eu-west-1"
    assert moved.bucket_url == "https://bucket.s3.eu-west-1.amazonaws.com"
    # Requests that were on their way are told the same, and are signed anew.
    assert moved.follow_region("eu-west-1")
    assert not moved.follow_region("us-east-1")
    assert moved.region == "eu-west-1"


@pytest.mark.parametrize(
    "name", ["us-east-1", "cn-north-1", "us-gov-west-1", "", "evil", "eu-west-1.evil.example"]
)
def test_no_other_partition_is_followed_and_no_nonsense(name: str) -> None:
    stays = session(region="us-east-1")
    assert not stays.follow_region(name)
    assert stays.bucket_url == "https://bucket.s3.us-east-1.amazonaws.com"


def test_an_endpoint_that_was_named_is_not_left() -> None:
    stays = session(region="us-east-1", endpoint_url="https://s3.example")
    assert not stays.follow_region("eu-west-1")
    assert stays.region == "us-east-1"


def test_a_request_is_signed_anew_for_the_region_that_s3_names() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    moved = S3Session(S3Settings("bucket", region="us-east-1", environment=keys))
    task = moved.connection.task(get_object("executions/x/metadata.json"))
    first = next(task)
    assert isinstance(first, Request)
    assert first.url.startswith("https://bucket.s3.us-east-1.amazonaws.com/")
    wait = task.send(Response(301, {"x-amz-bucket-region": "eu-west-1"}, b"", 0))
    assert isinstance(wait, Sleep)
    second = next(task)
    assert isinstance(second, Request)
    assert second.url.startswith("https://bucket.s3.eu-west-1.amazonaws.com/")
    assert "/eu-west-1/s3/" in second.headers["authorization"]
    # It is named once more: that is for whoever set it up.
    with pytest.raises(WrongRegionError, match="the bucket is in us-west-2"):
        task.send(Response(301, {"x-amz-bucket-region": "us-west-2"}, b"", 0))


def test_a_configuration_file_without_end_is_refused(files: dict[str, str]) -> None:
    with Path(files["AWS_CONFIG_FILE"]).open("r+b") as file:
        file.truncate(100 * 1024**3)
    with pytest.raises(UsageError, match="config is larger than"):
        resolved(files)


def test_a_ca_bundle_that_never_comes_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    environment = {"AWS_CA_BUNDLE": str(tmp_path / "ca.pem")}
    session = S3Session(S3Settings("bucket", environment=environment))
    with pytest.raises(UsageError, match=r"AWS_CA_BUNDLE: .* is not a regular file"):
        session.connection.loop()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:hunter2@h", "http://me:hunter2@h:99999", "http://me:hunter2@ h", "me:hunter2@h",
        "http://me:hunter2@h/?a=b", "http://me:hunter2@h/#a",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match=r"…@.* is not an endpoint") as raised:
        resolved({}, endpoint_url=url)
    assert "hunter2" not in raised.value.message
