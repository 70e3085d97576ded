"""The user data with which an EC2 instance fetches tests, runs them and stores their output."""

from __future__ import annotations

import re
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
from orchestrator_cli.infrastructure.target import BucketTarget, shell_quote, validate_line

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
MAX_USER_DATA_BYTES = 16 * 1024
_S3_OBJECT = re.compile(r"s3://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])/([^/].*)")
_GIT_URL = re.compile(r"((https?|ssh|git|file)://|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[^#\s]+(#\S+)?")


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What an instance installs, fetches and runs.

    `source` is the s3:// URL of an object, or a git URL with an optional `#ref`. `artifacts` is the
    directory of the files to store, relative to the one where the command runs. With `terminate`,
    the instance shuts down once everything is stored, or after `hold_seconds`.
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

    The instance's role gives it credentials. Raises UsageError if the source is not valid or the
    user data is longer than EC2 allows.
    """
    suite = f" --suite {shell_quote(validate_line(spec.suite))}" if spec.suite else ""
    terminate = Template(TERMINATE).substitute(hold_minutes=max(1, spec.hold_seconds // 60))
    text = Template(USER_DATA).substitute(
        artifacts=shell_quote(validate_line(spec.artifacts)),
        bucket=target.bucket,
        command=" ".join(map(shell_quote, spec.command)),
        needs_git="true" if _is_git(spec.source) else "false",
        package=shell_quote(validate_line(spec.package)),
        prepare=shell_quote(_prepare(spec)),
        region=target.region,
        store=shell_quote(
            Template(UNIT_SCRIPT).substitute(terminate=terminate if spec.terminate else "")
        ),
        suite=suite,
        shutdown="shutdown -h now" if spec.terminate else ":",
        unit=shell_quote(UNIT),
    )
    size = len(text.encode())
    if size > MAX_USER_DATA_BYTES:
        raise UsageError(
            f"the user data has {size:,} bytes; EC2 takes {MAX_USER_DATA_BYTES:,} at most",
            hint="put long scripts into --source",
        )
    return text


def _prepare(spec: InstanceSpec) -> str:
    """Return the script that fetches and sets up the tests, then executes them."""
    steps = [] if spec.source is None else list(_fetch(validate_line(spec.source)))
    if spec.setup is not None:
        steps.append(Template(SETUP).substitute(setup=shell_quote(spec.setup)))
    return Template(PREPARE).substitute(steps="".join(steps))


def _fetch(source: str) -> Sequence[str]:
    found = _S3_OBJECT.fullmatch(source)
    if found is not None:
        bucket, key = found.groups()
        name = key.rpartition("/")[2]
        if not name:
            raise UsageError(f"{source} is a prefix, not an object; name an archive, for example")
        fetch = Template(FETCH_S3).substitute(
            bucket=bucket, key=shell_quote(key), name=shell_quote(f"./{name}")
        )
        return fetch, *_unpack(name)
    if _is_git(source):
        url, _, ref = source.partition("#")
        fetch = Template(FETCH_GIT).substitute(url=shell_quote(url), ref=shell_quote(ref or "HEAD"))
        return (fetch,)
    raise UsageError(f"neither an s3:// URL nor a git URL: {printable(source)!r}")


def _is_git(source: str | None) -> bool:
    return source is not None and _GIT_URL.fullmatch(source) is not None


def _unpack(name: str) -> Sequence[str]:
    quoted = shell_quote(f"./{name}")
    if name.endswith(".zip"):
        return (Template(UNPACK_ZIP).substitute(name=quoted),)
    if name.endswith(".tgz") or ".tar" in name:
        return (Template(UNPACK_TAR).substitute(name=quoted),)
    return ()
