"""One lifecycle rule in the form of S3's API: normalize it, match it, describe it in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator_cli.core.base.text import printable

ApiRule = dict[str, Any]


def normalize(rule: ApiRule) -> str:
    """Return a text that is equal for equal rules, whichever form a server answers in."""
    kept = {name: value for name, value in rule.items() if name not in ("Filter", "Prefix")}
    kept["Filter"] = sorted(conditions(rule))
    kept["Transitions"] = sorted(rule.get("Transitions", []), key=str)
    # Some servers say false where nothing was said.
    kept["Expiration"] = {k: v for k, v in (rule.get("Expiration") or {}).items() if v is not False}
    return json.dumps(
        {name: value for name, value in kept.items() if value not in ([], {}, None)},
        sort_keys=True,
        default=str,
    )


def without_size_filter(rule: ApiRule) -> ApiRule:
    """Return a rule without its lower size limit."""
    left = {name: asked for name, asked in conditions(rule) if name != "ObjectSizeGreaterThan"}
    return {**rule, "Filter": {"And": left}}


def conditions(rule: ApiRule) -> Iterator[tuple[str, Any]]:
    """Yield the conditions of a rule's filter, by name, from any of its forms."""
    single, tags = _parts(rule)
    yield from single.items()
    for tag in tags:
        yield f"Tag {tag.get('Key', '')}", tag.get("Value", "")


def to_api_form(rule: ApiRule) -> ApiRule:
    """Return a rule in the one form that every server understands as it is meant.

    Ceph answers with a prefix beside `And`, and drops the prefix when it is sent that. AWS takes no
    prefix outside of the filter where any rule of the bucket has a filter.
    """
    single, tags = _parts(rule)
    if len(single) + len(tags) > 1:
        narrow = {"And": {**single, **({"Tags": tags} if tags else {})}}
    else:
        narrow = single or ({"Tag": tags[0]} if tags else {"Prefix": ""})
    kept = {name: value for name, value in rule.items() if name != "Prefix"}
    return {**kept, "Filter": narrow}


def _parts(rule: ApiRule) -> tuple[dict[str, Any], list[dict[str, str]]]:
    given = rule.get("Filter") or {}
    flat = {**given, **(given.get("And") or {})}
    flat.pop("And", None)
    tags = [*flat.pop("Tags", []), *([flat.pop("Tag")] if "Tag" in flat else [])]
    if rule.get("Prefix"):
        flat["Prefix"] = rule["Prefix"]
    return {name: value for name, value in flat.items() if value not in ("", None)}, tags


def applies_to(rule: ApiRule, key: str, size_bytes: int) -> bool:
    """Return True if a rule's filter matches an object that has no tags."""
    asked = dict(conditions(rule))
    return (
        key.startswith(str(asked.pop("Prefix", "")))
        and size_bytes > int(asked.pop("ObjectSizeGreaterThan", -1))
        and size_bytes < int(asked.pop("ObjectSizeLessThan", size_bytes + 1))
        and not asked
    )


def describe_rule(rule: ApiRule) -> str:
    """Return what a rule does, in words, whoever made it."""
    off = "" if rule.get("Status") == "Enabled" else "disabled; "
    actions = "; ".join(_actions(rule)) or "does nothing"
    return f"{off}{_scope(rule)}: {actions}"


def _scope(rule: ApiRule) -> str:
    asked = dict(conditions(rule))
    words = [printable(asked.pop("Prefix", "every key"))]
    if "ObjectSizeGreaterThan" in asked:
        words.append(f"over {_size(asked.pop('ObjectSizeGreaterThan'))}")
    if "ObjectSizeLessThan" in asked:
        words.append(f"under {_size(asked.pop('ObjectSizeLessThan'))}")
    words += [f"{printable(name).lower()}={printable(value)}" for name, value in asked.items()]
    return " ".join(words)


def _size(size_bytes: int) -> str:
    return f"{size_bytes // 1024:,} KiB" if size_bytes % 1024 == 0 else f"{size_bytes:,} B"


def _actions(rule: ApiRule) -> Iterator[str]:
    for move in rule.get("Transitions", []):
        yield f"to {move.get('StorageClass')} {_when(move)}"
    expiration = rule.get("Expiration") or {}
    if "Days" in expiration or "Date" in expiration:
        yield f"deleted {_when(expiration)}"
    if expiration.get("ExpiredObjectDeleteMarker"):
        yield "expired delete markers removed"
    for move in rule.get("NoncurrentVersionTransitions", []):
        yield f"noncurrent versions to {move.get('StorageClass')} {_when(move)}"
    noncurrent = rule.get("NoncurrentVersionExpiration")
    if noncurrent:
        newer = noncurrent.get("NewerNoncurrentVersions")
        yield f"noncurrent versions deleted {_when(noncurrent)}" + (
            f" but for {newer}" if newer else ""
        )
    abort = rule.get("AbortIncompleteMultipartUpload")
    if abort:
        yield f"unfinished uploads ended {_when(abort)}"


def _when(action: dict[str, Any]) -> str:
    if "Date" in action:
        return f"on {str(action['Date'])[:10]}"
    names = ("Days", "NoncurrentDays", "DaysAfterInitiation")
    days = next((action[name] for name in names if name in action), 0)
    return f"after {days:,} {'day' if days == 1 else 'days'}"


def is_effective(rule: ApiRule) -> bool:
    """Return True if a rule is enabled and does anything."""
    return rule.get("Status") == "Enabled" and any(_actions(rule))
