"""CloudFormation for the sandbox: moto's, extended to what `orchestrator lifecycle render` needs.

moto creates the bucket of a template, but ignores its lifecycle rules, versioning and public
access block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeBucket, PublicAccessBlock


def make_application() -> Any:
    """Return moto's WSGI application. Raises ImportError if a package it needs is missing."""
    application = create_backend_app("cloudformation")
    for name in ("create_from_cloudformation_json", "update_from_cloudformation_json"):
        moto_function = getattr(FakeBucket, name).__func__
        setattr(FakeBucket, name, classmethod(_then_configure(moto_function)))
    return application


def _then_configure(moto_function: Any) -> Any:
    """Return a function that makes a bucket as moto does, and configures it."""

    def make(cls: Any, *args: Any, **kwargs: Any) -> Any:
        bucket = moto_function(cls, *args, **kwargs)
        resource = next(one for one in (*args, *kwargs.values()) if _is_bucket_resource(one))
        _configure(bucket, resource.get("Properties", {}))
        return bucket

    return make


def _is_bucket_resource(value: Any) -> bool:
    return isinstance(value, dict) and value.get("Type") == "AWS::S3::Bucket"


def _configure(bucket: Any, properties: dict[str, Any]) -> None:
    lifecycle = properties.get("LifecycleConfiguration")
    if lifecycle is not None:
        bucket.set_lifecycle([_rule(rule) for rule in lifecycle.get("Rules", [])])
    versioning = properties.get("VersioningConfiguration")
    if versioning is not None:
        bucket.versioning_status = versioning["Status"]
    block = properties.get("PublicAccessBlockConfiguration")
    if block is not None:
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy")
        values = [str(block.get(name, False)).lower() for name in (*names, "RestrictPublicBuckets")]
        bucket.public_access_block = PublicAccessBlock(*values)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule of a template in the form in which moto reads it from S3's XML."""
    expiration = dict(_renamed(rule, ("ExpirationInDays", "Days"), ("ExpirationDate", "Date")))
    expiration |= dict(_renamed(rule, ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker")))
    names = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    prefix = {"Prefix": rule.get("Prefix", "")}
    size = dict(_renamed(rule, ("ObjectSizeGreaterThan", "ObjectSizeGreaterThan")))
    return {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"And": prefix | size} if size else prefix,
        "Transition": [
            {"Days": move["TransitionInDays"], "StorageClass": move["StorageClass"]}
            for move in rule.get("Transitions", [])
        ],
        **({"Expiration": expiration} if expiration else {}),
        **dict(_renamed(rule, *((name, name) for name in names))),
    }


def _renamed(rule: dict[str, Any], *names: tuple[str, str]) -> Iterator[tuple[str, Any]]:
    yield from ((new, rule[old]) for old, new in names if old in rule)
