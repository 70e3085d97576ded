"""The options of the retention policy, and the rules that follow from them."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.options import F, WholeNumber, add_options
from orchestrator_cli.core.retention.lifecycle.policy import (
    RetentionPolicy,
    check_policy,
    plan_rules,
    policy_warnings,
)
from orchestrator_cli.core.retention.lifecycle.rule import ApiRule

_DAYS = WholeNumber(0)
_DEFAULT = RetentionPolicy()
_OPTIONS = (
    click.option(
        "--archive-after",
        "archive_after_days",
        type=_DAYS,
        default=_DEFAULT.archive_after_days,
        show_default=True,
        metavar="DAYS",
        help="When objects over $archive_over of executions/ move to Deep Archive; "
        "$shortest_archive_days to $longest_archive_days by policy.",
    ),
    click.option(
        "--override-policy",
        is_flag=True,
        help="Allow other values of --archive-after; 0 never archives.",
    ),
    click.option(
        "--metadata-days",
        "history_days",
        type=_DAYS,
        default=_DEFAULT.history_days,
        show_default=True,
        metavar="DAYS",
        help="When lines of history/ are deleted; 0 keeps them.",
    ),
    click.option(
        "--expire-after",
        "expire_after_days",
        type=_DAYS,
        default=_DEFAULT.expire_after_days,
        show_default=True,
        metavar="DAYS",
        help="When everything of executions/ is deleted; 0 keeps it.",
    ),
    click.option(
        "--noncurrent-days",
        type=WholeNumber(1),
        default=_DEFAULT.noncurrent_days,
        show_default=True,
        metavar="DAYS",
        help="When versions that were replaced or deleted are gone for good.",
    ),
)


def policy_options(function: F) -> F:
    """Add the options that `choose_rules` takes."""
    return add_options(function, _OPTIONS)


def choose_rules(app: App, options: dict[str, Any]) -> tuple[ApiRule, ...]:
    """Return the rules that the options ask for. Raises UsageError."""
    any_age = options.pop("override_policy")
    policy = RetentionPolicy(**options)
    check_policy(policy, any_age)
    for warning in policy_warnings(policy):
        app.messages.warn(warning)
    return plan_rules(policy)
