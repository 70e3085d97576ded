"""Lifecycle rules for files of some size: moto's rules, extended to the sizes, which it drops."""

from __future__ import annotations

from typing import Any

from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

_SIZES = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")


def keep_size_filters() -> None:
    """Let moto store the sizes in the filter of a rule, and return them with the rule."""
    bucket_class: Any = FakeBucket
    response_class: Any = S3Response
    set_lifecycle = bucket_class.set_lifecycle
    get_lifecycle = response_class.get_bucket_lifecycle

    def set_with_sizes(bucket: Any, rules: list[dict[str, Any]]) -> None:
        set_lifecycle(bucket, rules)
        for kept, sent in zip(bucket.rules, rules, strict=True):
            kept.sent_filter = sent.get("Filter") or {}

    def get_with_sizes(response: Any) -> Any:
        serialize = response.serialized
        rules = response.backend.get_bucket_lifecycle(response.bucket_name)

        def serialize_with_sizes(action: Any) -> Any:
            for shown, kept in zip(action.result["Rules"], rules, strict=True):
                _add_sizes(shown.get("Filter"), kept.sent_filter)
            return serialize(action)

        if rules:
            response.serialized = serialize_with_sizes
        return get_lifecycle(response)

    bucket_class.set_lifecycle = set_with_sizes
    response_class.get_bucket_lifecycle = get_with_sizes


def _add_sizes(shown: dict[str, Any] | None, sent: dict[str, Any]) -> None:
    if shown is None:
        return
    shown |= {name: sent[name] for name in _SIZES if name in sent}
    _add_sizes(shown.get("And"), sent.get("And") or {})
