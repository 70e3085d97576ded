"""The options of the retention policy, and the rules that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.options import F, WholeNumber, add_options

if TYPE_CHECKING:
    from orchestrator_cli.core.retention.lifecycle.policy import Rule

_DAYS = WholeNumber(0)
_OPTIONS = (
    click.option(
        "--archive-after",
        "archive_after_days",
        type=_DAYS,
        default=90,
        show_default=True,
        metavar="DAYS",
        help="When objects over 128 KiB of executions/ move to Deep Archive; 30 to 90 by policy.",
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
        default=180,
        show_default=True,
        metavar="DAYS",
        help="When lines of history/ are deleted; 0 keeps them.",
    ),
    click.option(
        "--expire-after",
        "expire_after_days",
        type=_DAYS,
        default=0,
        show_default=True,
        metavar="DAYS",
        help="When everything of executions/ is deleted; 0 keeps it.",
    ),
    click.option(
        "--noncurrent-days",
        type=WholeNumber(1),
        default=30,
        show_default=True,
        metavar="DAYS",
        help="When versions that were replaced or deleted are gone for good.",
    ),
)


def policy_options(function: F) -> F:
    """Add the options that `choose_rules` takes."""
    return add_options(function, _OPTIONS)


def choose_rules(app: App, options: dict[str, Any]) -> tuple[Rule, ...]:
    """Return the rules that the options ask for. Raises UsageError."""
    from orchestrator_cli.core.retention.lifecycle.policy import (
        RetentionPolicy,
        check_policy,
        plan_rules,
        policy_warnings,
    )

    any_age = options.pop("override_policy")
    policy = RetentionPolicy(**options)
    check_policy(policy, any_age)
    for warning in policy_warnings(policy):
        app.messages.warn(warning)
    return plan_rules(policy)
