"""`orchestrator lifecycle apply`, `plan` and `show`: the rules in the bucket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.lifecycle.policy import choose_rules, policy_options
from orchestrator_cli.cli.options import Example, F, command, confirm, json_option, yes_option

if TYPE_CHECKING:
    from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
    from orchestrator_cli.core.retention.lifecycle.configuration import (
        Configuration,
        LifecyclePlan,
        RuleChange,
    )
    from orchestrator_cli.core.retention.lifecycle.rule import ApiRule

_DROPPED_HINT = "to archive nothing: --archive-after 0 --override-policy"


def _strict_option(function: F) -> F:
    return click.option(
        "--strict",
        is_flag=True,
        help="Set nothing on a server that drops the size filter; the old rules are put back.",
    )(function)


_READ_EXIT_MEANINGS = {4: "no such bucket"}
# What the codes mean that are special to `apply`.
APPLY_EXIT_MEANINGS = _READ_EXIT_MEANINGS | {
    3: "--check: something would change; or the server drops the size filter",
    6: "the rules changed meanwhile, or the server stored other rules than it was sent",
}


@command(
    examples=(
        Example("the defaults, after a question", "orchestrator lifecycle apply"),
        Example("in CI", "orchestrator lifecycle apply --archive-after 60 --yes"),
        Example("has somebody changed them?", "orchestrator lifecycle apply --check"),
    ),
    exit_codes=(0, 1, 2, 3, 4, 5, 6, 9),
    exit_meanings=APPLY_EXIT_MEANINGS,
)
@policy_options
@click.option("--check", is_flag=True, help="Change nothing; exit 3 where something would change.")
@_strict_option
@yes_option
@json_option
@pass_app
def apply(app: App, /, check: bool, strict: bool, yes: bool, as_json: bool, **policy: Any) -> None:
    """Set the bucket's rules.

    Only rules whose IDs begin with orchestrator- are changed; rules of others stay. Repeating it
    changes nothing. The rules are read back: where the server has stored anything other than what
    it was sent, the previous rules are put back and the command fails (6).

    Some servers other than AWS drop the size filter, and would then archive metadata.json, which
    every command reads. The rules are set there too, but apply and --check exit 3. With --strict,
    the previous rules are put back instead (6).

    Without a terminal to ask on, a change needs --yes (2).
    """
    from orchestrator_cli.core.base.errors import PartialFailureError

    rules = choose_rules(app, policy)
    bucket, plan = _read_plan(app, rules, strict)
    if not as_json:
        _note_plan(app, plan)
    _warn(app, plan)
    dropped = plan.size_filter_dropped
    if plan.changed and not check:
        confirm(f"Change the lifecycle rules of s3://{bucket.name}?", yes)
        dropped = bucket.apply(plan, strict, lambda lost: _print_lost(app, lost))
    if as_json:
        app.output.json(_plan_record(bucket.name, plan, dropped))
    if check and plan.changed:
        ids = ", ".join(change.rule_id for change in plan.changed)
        message = f"lifecycle rules differ from the policy: {ids}"
        raise PartialFailureError(message, hint="`orchestrator lifecycle apply` sets them")
    if not plan.changed:
        app.messages.note("nothing to change")
    if dropped:
        message = f"the rules are set, but {_dropped_message(dropped)}"
        raise PartialFailureError(message, hint=_DROPPED_HINT)
    if plan.changed:
        app.messages.note("the rules are set")


@command(
    examples=(
        Example("what apply would do", "orchestrator lifecycle plan --archive-after 60"),
        Example("for a script", "orchestrator lifecycle plan --json | jq -e '.changed | not'"),
    ),
    exit_codes=(0, 1, 2, 4, 5, 9),
    exit_meanings=_READ_EXIT_MEANINGS,
)
@policy_options
@_strict_option
@json_option
@pass_app
def plan(app: App, /, strict: bool, as_json: bool, **policy: Any) -> None:
    """Show what `apply` would change.

    Nothing is changed. Rules of others are listed too, with a warning about those that act on the
    same keys.
    """
    bucket, planned = _read_plan(app, choose_rules(app, policy), strict)
    if as_json:
        app.output.json(_plan_record(bucket.name, planned, planned.size_filter_dropped))
    else:
        _print_plan(app, planned)
    _warn(app, planned)
    if planned.size_filter_dropped:
        app.messages.warn(f"{_dropped_message(planned.size_filter_dropped)}. {_DROPPED_HINT}")


@command(
    examples=(
        Example("the rules in words", "orchestrator lifecycle show"),
        Example("as S3 has them", "orchestrator lifecycle show --json | jq '.rules'"),
    ),
    exit_codes=(0, 1, 2, 4, 5, 9),
    exit_meanings=_READ_EXIT_MEANINGS,
)
@json_option
@pass_app
def show(app: App, as_json: bool) -> None:
    """Show the bucket's rules, ours and those of others."""
    from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
    from orchestrator_cli.core.retention.lifecycle.policy import OWNED_IDS
    from orchestrator_cli.core.retention.lifecycle.rule import describe_rule

    store = app.store()
    present = BucketLifecycle(store).read()
    if as_json:
        app.output.json({"bucket": store.bucket, **_configuration_record(present)})
        return
    ids = [rule.get("ID") for rule in present.rules]
    whose = ["ours" if rule_id in OWNED_IDS else "foreign" for rule_id in ids]
    _print_rules(app, "WHOSE", zip(whose, ids, map(describe_rule, present.rules), strict=True))
    if not present.rules:
        app.messages.note("the bucket has no lifecycle rules")


def _read_plan(
    app: App, rules: tuple[ApiRule, ...], strict: bool
) -> tuple[BucketLifecycle, LifecyclePlan]:
    from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
    from orchestrator_cli.core.retention.lifecycle.configuration import plan_changes

    store = app.store()
    bucket = BucketLifecycle(store)
    may_miss = not strict and not store.session.is_aws
    return bucket, plan_changes(bucket.read(), rules, may_miss)


def _print_plan(app: App, plan: LifecyclePlan) -> None:
    rows = ((str(change.action), change.rule_id, _described(change)) for change in plan.changes)
    _print_rules(app, "WHAT", rows)


def _print_rules(app: App, first: str, rows: Iterable[tuple[str, str | None, str]]) -> None:
    """Print a table of rules: a first column, the id of each rule, and its effect."""
    from orchestrator_cli.cli.output.table import Column, table
    from orchestrator_cli.core.base.text import printable

    columns = (
        Column(first),
        Column("RULE", cut=True, least=12),
        Column("DOES", wrap=True, least=20),
    )
    with table(app.output, *columns) as shown:
        for about, rule_id, does in rows:
            shown.row(about, printable(rule_id or "-"), does)


def _note_plan(app: App, plan: LifecyclePlan) -> None:
    """Print the changes to standard error, before the user is asked."""
    from orchestrator_cli.core.base.text import printable

    for change in plan.changes:
        app.messages.note(
            f"{change.action} {printable(change.rule_id or '-')}: {_described(change)}"
        )


def _described(change: RuleChange) -> str:
    from orchestrator_cli.core.retention.lifecycle.rule import describe_rule

    texts = [describe_rule(rule) for rule in (change.before, change.after) if rule is not None]
    return " → ".join(dict.fromkeys(texts))


def _warn(app: App, plan: LifecyclePlan) -> None:
    from orchestrator_cli.core.retention.lifecycle.configuration import list_overlaps

    for overlap in list_overlaps(plan.present):
        app.messages.warn(overlap)


def _dropped_message(rule_ids: tuple[str, ...]) -> str:
    return (
        f"this server keeps {', '.join(rule_ids)} WITHOUT its size filter: it archives small "
        "objects too, metadata.json with them. Each then costs more than it saves, and `show`, "
        "`ls` and `finish` fail on an archived metadata.json until it is restored"
    )


def _print_lost(app: App, lost: Configuration) -> None:
    import json

    record = json.dumps(_configuration_record(lost), default=str)
    app.messages.warn(f"the previous rules, to put back by hand: {record}")


def _configuration_record(configuration: Configuration) -> dict[str, Any]:
    return {
        "rules": list(configuration.rules),
        "transition_default_minimum_object_size": configuration.default_minimum,
    }


def _plan_record(bucket: str, plan: LifecyclePlan, dropped: tuple[str, ...]) -> dict[str, Any]:
    from orchestrator_cli.core.retention.lifecycle.configuration import list_overlaps

    return {
        "bucket": bucket,
        "changed": bool(plan.changed),
        "changes": [
            {
                "rule_id": change.rule_id,
                "action": str(change.action),
                "before": change.before,
                "after": change.after,
            }
            for change in plan.changes
        ],
        "overlaps": list_overlaps(plan.present),
        "size_filter_dropped": list(dropped),
    }
