"""`orchestrator restore`: bring archived files back for some days."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    DURATION,
    Example,
    WholeNumber,
    command,
    complete_id_or_file,
    concurrency_option,
    confirm,
    gather_options,
    json_option,
    split_id,
    yes_option,
)
from orchestrator_cli.core.retention.archive import RESTORE_DAYS

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.retention.restore import RestoreItem, RestorePlan
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


# The outcomes of files as people read them.
_WORDS = {
    "archived": "archived",
    "requested": "requested",
    "restored": "can be read",
    "ongoing": "under way",
    "not-archived": "not archived",
    "failed": "failed",
}


class RestoreOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    tier: str
    days: int
    wait: bool
    timeout: timedelta | None
    yes: bool
    concurrency: int
    as_json: bool


@command(
    examples=(
        Example("everything of an execution, at the lowest price", "orchestrator restore $ID"),
        Example("one log, sooner", "orchestrator restore $ID stdout --tier standard"),
        Example(
            "wait until it can be read, then download it",
            "orchestrator restore $ID --yes --wait --timeout 50h && orchestrator download $ID",
        ),
    ),
    exit_codes=(0, 2, 3, 4, 5, 8, 9, 130),
    exit_meanings={
        3: "the restore of some files could not be requested; each is listed",
        8: "with --wait: files are still archived after --timeout",
    },
)
@click.argument("arguments", metavar="ID [PATTERN…]", nargs=-1, shell_complete=complete_id_or_file)
@click.option(
    "--tier",
    type=click.Choice(["bulk", "standard"]),
    default="bulk",
    show_default=True,
    help="bulk is cheaper and takes up to $restore_bulk_hours hours, standard up to "
    "$restore_standard_hours.",
)
@click.option(
    "--days",
    type=WholeNumber(1, 3650),
    default=RESTORE_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How long the restored copies can be read.",
)
@click.option("--wait", is_flag=True, help="Wait until every file can be read.")
@click.option("--timeout", type=DURATION, help="Give up waiting after this long.  [default: never]")
@yes_option
@concurrency_option
@json_option
@gather_options(RestoreOptions)
@pass_app
def restore(app: App, options: RestoreOptions) -> None:
    """Make archived files readable for some days.

    S3 makes copies that can be read, and removes them after --days; the archived files stay. The
    command first says how much it would restore, how long that takes and about what it costs, and
    asks for confirmation. Repeating it is safe: files that are being restored, can be read or were
    never archived are left alone. With --wait, it exits 8 where files are still archived after
    --timeout. PATTERN is a path, the name of a log, a directory or a glob; without PATTERN, all
    files are meant. JSON is one object for each file, on a line of its own.
    """
    from orchestrator_cli.core.retention.restore import plan_restore

    if options.timeout is not None and not options.wait:
        raise click.UsageError("--timeout goes with --wait.")
    text, patterns = split_id(options.arguments)
    store = app.store(options.concurrency)
    execution_id = app.resolve_id(text, store)
    plan = plan_restore(store, execution_id, patterns, options.tier, options.days)
    _say_plan(app, plan)
    if plan.needed:
        confirm("Restore them?", options.yes)
    items = _request(app, store, plan)
    late = _wait(app, store, execution_id, items, options.timeout) if options.wait else None
    _report(app, items, options.as_json)
    if late is not None:
        raise late


def _say_plan(app: App, plan: RestorePlan) -> None:
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.retention.archive import format_estimate
    from orchestrator_cli.core.retention.prices import aws_prices

    if plan.needed:
        kept = human_count(plan.days, "day")
        app.messages.note(
            f"to restore: {human_count(len(plan.needed), 'file')}, {human_size(plan.size_bytes)}; "
            f"{plan.tier}, readable for {kept}; within {plan.within_hours} hours; "
            f"{format_estimate(plan.dollars)} "
            f"(AWS prices in {plan.price_region}, {aws_prices().date})"
        )
    others = Counter(str(item.outcome) for item in plan.items if item not in set(plan.needed))
    left_alone = [
        f"{human_count(others[name], 'file')} {_WORDS[name]}{already}"
        for name, already in (
            ("restored", " already"),
            ("ongoing", " already"),
            ("not-archived", ""),
        )
        if others[name]
    ]
    if left_alone:
        app.messages.note(f"left alone: {', '.join(left_alone)}")


def _request(app: App, store: ArtifactStore, plan: RestorePlan) -> dict[str, RestoreItem]:
    from orchestrator_cli.core.retention.restore import request_restores

    items = {item.key: item for item in plan.items}
    with app.messages.progress("requesting") as progress:
        progress.expect(len(plan.needed), plan.size_bytes)
        for item in request_restores(store, plan):
            items[item.key] = item
            progress.add_bytes(item.size_bytes)
            progress.add_file()
    return items


def _wait(
    app: App,
    store: ArtifactStore,
    execution_id: str,
    items: dict[str, RestoreItem],
    timeout: timedelta | None,
) -> OrchestratorError | None:
    """Wait, and note the files that can be read; return the error if some still cannot."""
    from orchestrator_cli.core.base.errors import ArchivedError
    from orchestrator_cli.core.retention.restore import RestoreOutcome, wait_until_restored

    states = (RestoreOutcome.REQUESTED, RestoreOutcome.ONGOING)
    waiting = [item for item in items.values() if item.outcome in states]
    seconds = timeout.total_seconds() if timeout is not None else None
    found = wait_until_restored(store, execution_id, waiting, seconds, time.monotonic)
    try:
        with app.messages.progress("restored") as progress:
            progress.expect(len(waiting), sum(item.size_bytes for item in waiting))
            for item in found:
                items[item.key] = item
                progress.add_bytes(item.size_bytes)
                progress.add_file()
    except ArchivedError as error:
        return error
    return None


def _report(app: App, items: dict[str, RestoreItem], as_json: bool) -> None:
    from orchestrator_cli.cli.output import human_count
    from orchestrator_cli.core.base.errors import AccessError, PartialFailureError, UnavailableError
    from orchestrator_cli.core.base.text import printable

    for item in items.values():
        if as_json:
            app.output.json(_record(item))
        if item.error is not None:
            app.messages.failure(f"{printable(item.path)}: {item.error.message}")
        else:
            app.messages.detail(f"{item.outcome}: {printable(item.path)}")
    counts = Counter(str(item.outcome) for item in items.values())
    said = ", ".join(f"{count:,} {_WORDS[name]}" for name, count in sorted(counts.items()))
    app.messages.note(f"{human_count(len(items), 'file')}: {said}")
    errors = [item.error for item in items.values() if item.error is not None]
    if errors:
        # Where none could be requested, for one reason, that is what the exit code says.
        kind: type[OrchestratorError] = PartialFailureError
        if not counts["requested"] and len({type(error) for error in errors}) == 1:
            kind = (
                type(errors[0]) if isinstance(errors[0], AccessError | UnavailableError) else kind
            )
        raise kind(
            f"the restore of {len(errors):,} of {len(items):,} files could not be requested",
            hint="run the same command again: it requests what is missing",
        )


def _record(item: RestoreItem) -> dict[str, object]:
    return {
        "path": item.path,
        "size_bytes": item.size_bytes,
        "storage_class": item.storage_class,
        "outcome": str(item.outcome),
        "expires_at": item.expires_at,
        "error": item.error.message if item.error else None,
    }
