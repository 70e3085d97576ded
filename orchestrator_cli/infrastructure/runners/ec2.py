"""The user data with which an EC2 instance brings tests, runs them and stores their output."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.infrastructure.runners.ec2_scripts import (
    FETCH_GIT,
    FETCH_S3,
    PREPARE,
    SETUP,
    TERMINATE,
    UNIT,
    UNIT_SCRIPT,
    UNPACK_TAR,
    UNPACK_ZIP,
    USER_DATA,
)
from orchestrator_cli.infrastructure.target import BucketTarget, any_text, one_line, validate

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
MAX_USER_DATA_BYTES = 16 * 1024
_S3_OBJECT = re.compile(r"s3://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])/([^/].*)")
_GIT_URL = re.compile(r"((https?|ssh|git|file)://|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[^#\s]+(#\S+)?")


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What an instance runs. `source` is an s3:// object or a git URL with `#ref`.

    `artifacts` is the directory the command fills, relative to where it runs. With `terminate` the
    instance ends once all is stored, or after `hold_seconds`.
    """

    package: str
    suite: str | None
    artifacts: str
    command: Sequence[str]
    source: str | None = None
    setup: str | None = None
    terminate: bool = False
    hold_seconds: int = 24 * 3600


def render_ec2(target: BucketTarget, spec: InstanceSpec) -> str:
    """Return user data for Amazon Linux 2023 and Ubuntu 22.04 or newer.

    Credentials come from the instance's role. Raises UsageError for what is no source, and where
    EC2 would not take so much.
    """
    validate("bucket", target.bucket)
    suite = f" --suite {_quoted(one_line(spec.suite))}" if spec.suite else ""
    ends = Template(TERMINATE).substitute(hold_minutes=max(1, spec.hold_seconds // 60))
    text = Template(USER_DATA).substitute(
        artifacts=_quoted(one_line(spec.artifacts)),
        bucket=target.bucket,
        command=" ".join(map(_quoted, spec.command)),
        needs_git="true" if _is_git(spec.source) else "false",
        package=_quoted(one_line(spec.package)),
        prepare=_quoted(_prepare(spec)),
        region=target.region,
        store=_quoted(Template(UNIT_SCRIPT).substitute(end=ends if spec.terminate else "")),
        suite=suite,
        terminate="shutdown -h now" if spec.terminate else ":",
        unit=_quoted(UNIT),
    )
    size = len(text.encode())
    if size > MAX_USER_DATA_BYTES:
        raise UsageError(
            f"the user data would have {size:,} bytes; EC2 takes {MAX_USER_DATA_BYTES:,}",
            hint="put long scripts into --source",
        )
    return text


def _prepare(spec: InstanceSpec) -> str:
    """Return the script that brings the tests and becomes them."""
    steps = [] if spec.source is None else list(_fetch(one_line(spec.source)))
    if spec.setup is not None:
        steps.append(Template(SETUP).substitute(setup=_quoted(spec.setup)))
    return Template(PREPARE).substitute(steps="".join(steps))


def _fetch(source: str) -> Sequence[str]:
    found = _S3_OBJECT.fullmatch(source)
    if found is not None:
        bucket, key = found.groups()
        name = key.rpartition("/")[2]
        if not name:
            raise UsageError(f"{source}: name an object, such as an archive")
        fetch = Template(FETCH_S3).substitute(
            bucket=bucket, key=_quoted(key), name=_quoted(f"./{name}")
        )
        return fetch, *_unpack(name)
    if _is_git(source):
        url, _, ref = source.partition("#")
        return (Template(FETCH_GIT).substitute(url=_quoted(url), ref=_quoted(ref or "HEAD")),)
    raise UsageError(f"not an s3:// object or a git URL: {printable(source)!r}")


def _is_git(source: str | None) -> bool:
    return source is not None and _GIT_URL.fullmatch(source) is not None


def _unpack(name: str) -> Sequence[str]:
    quoted = _quoted(f"./{name}")
    if name.endswith(".zip"):
        return (Template(UNPACK_ZIP).substitute(name=quoted),)
    if name.endswith(".tgz") or ".tar" in name:
        return (Template(UNPACK_TAR).substitute(name=quoted),)
    return ()


def _quoted(text: str) -> str:
    return shlex.quote(any_text(text))
