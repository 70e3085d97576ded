"""`orchestrator cost`: what executions cost to store, now and once archived.

It must not know how usage is counted or priced.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.cost.options import CostOptions
from orchestrator_cli.cli.connections import AHEAD
from orchestrator_cli.cli.options import (
    Example,
    command,
    complete_execution_id,
    concurrency_option,
    gather_options,
    json_option,
    window_options,
)

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.cost.report import Report
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.retention.billing import Usage
    from orchestrator_cli.core.retention.usage import ExecutionUsage
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


@command(
    examples=(
        Example("the last 30 days", "orchestrator cost"),
        Example("one execution", "orchestrator cost $ID"),
        Example(
            "a year by suite, for a spreadsheet", "orchestrator cost --since 52w --by suite --csv"
        ),
        Example("what is archived already", "orchestrator cost --since 2020-01-01 --by class"),
        Example(
            "a bucket too large to list",
            "orchestrator cost --by suite --inventory s3://inventories/b/daily/T/manifest.json",
        ),
        Example("your own prices", "orchestrator cost --prices prices.toml --region eu-central-1"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 7, 9),
    exit_meanings={
        3: "some executions could not be read; each is named, and counted in the total alone",
        4: "no such execution, bucket or inventory",
        7: "integrity: the inventory does not match its checksum",
    },
)
@click.argument("execution_ids", metavar="[ID…]", nargs=-1, shell_complete=complete_execution_id)
@window_options("30d before; all of an inventory")
@click.option(
    "--by",
    type=click.Choice(["execution", "suite", "runner-type", "class"]),
    default="execution",
    show_default=True,
    help="What to add up by. Suite and runner type take one read for each execution.",
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header, without the total.")
@click.option(
    "--prices",
    "price_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Prices of your own, in JSON or TOML, in place of AWS's list prices.",
)
@click.option(
    "--region",
    "price_region",
    metavar="R",
    help="The region whose prices apply.  [default: that of the bucket]",
)
@click.option(
    "--inventory",
    metavar="MANIFEST",
    help="Read an S3 Inventory instead of listing: s3://…/manifest.json or a local path.",
)
@concurrency_option
@gather_options(CostOptions)
@pass_app
def cost(app: App, options: CostOptions) -> None:
    """Show what executions cost to store each month, now and once archived.

    The objects below executions/ are counted, by size and storage class, unfinished uploads, and
    the segments of live logs below live/, for the $live_days days that they are there:
    orchestrator-scale(7) says what writing them costs. history/, restored copies, retrieval, and
    data that leaves the region are not. NOW is the cost of a month as things are. ARCHIVED is the
    cost of a month after the bucket's lifecycle rules have moved everything that they move and
    before they delete anything; a bucket without rules is shown under the default policy. Fees for
    requests and transitions are paid once and shown apart. Noncurrent versions are counted from an
    inventory only.

    An object in Deep Archive is charged for its bytes, for $archived_index more in Deep Archive and
    $archived_name in STANDARD, and for $archive_minimum_days days at least;
    orchestrator-retention(7) has examples. A month has $month_days days, a GB 2^30 bytes. The
    prices are AWS's list prices of a date, which come with the package and are never fetched.
    Amounts are added exactly and rounded to a billionth of a dollar when they are written. Volume
    prices apply to the total only. With --json, each line is one object, and the last is the total.

    A file for --prices has: date, source, and for each region R regions.R.storage_per_gib_month
    with a price by storage class, regions.R.transition_per_1000 likewise, regions.R.put_per_1000
    and get_per_1000, and regions.R.standard_tiers, a list of [from so many GiB, price].
    """
    from orchestrator_cli.cli.commands.cost import source
    from orchestrator_cli.cli.commands.cost.report import Report, choose_prices
    from orchestrator_cli.cli.output import human_count
    from orchestrator_cli.core.base.errors import OrchestratorError, PartialFailureError
    from orchestrator_cli.core.retention.usage_source import UsageSource

    options.check()
    store, now = source.open_store(app, options), app.now()
    inventory = source.open_inventory(app, options)
    prices = choose_prices(app, options, store)
    ahead = min(options.concurrency, AHEAD)
    usage_source = UsageSource(store, inventory, now, app.messages.warn, ahead)
    report = Report(app, options, prices, usage_source.rules)
    ids, since = source.resolve_ids(app, options, store), source.window_start(options, now)
    usages, unread = usage_source.read(ids, since, options.until), list[OrchestratorError]()
    _print_groups(app, options, store, report, usages, unread)
    report.end(usage_source.inventory_time)
    if unread:
        count = human_count(len(unread), "execution")
        raise PartialFailureError(f"{count} could not be read", hint=unread[0].hint)


def _print_groups(
    app: App,
    options: CostOptions,
    store: ArtifactStore | None,
    report: Report,
    usages: Iterator[ExecutionUsage],
    unread: list[OrchestratorError],
) -> None:
    from orchestrator_cli.core.retention.usage import sum_groups

    if options.by == "execution":
        for execution_id, usage in usages:
            report.count(usage)
            report.print_group(execution_id, usage)
        return
    with app.messages.progress("counting") as progress:

        def counted() -> Iterator[ExecutionUsage]:
            for execution_id, usage in usages:
                report.count(usage)
                progress.files += usage.objects
                progress.add_bytes(usage.size_bytes)
                yield execution_id, usage

        groups = sum_groups(_named(app, options, store, counted(), unread))
    for name in sorted(groups, key=lambda name: (name is None, name or "")):
        report.print_group(name, groups[name])


def _named(
    app: App,
    options: CostOptions,
    store: ArtifactStore | None,
    usages: Iterator[ExecutionUsage],
    unread: list[OrchestratorError],
) -> Iterator[tuple[str | None, Usage]]:
    """Yield the usages, each with the name of its group; the errors of others go to `unread`."""
    from orchestrator_cli.core.retention.usage import label_by_field

    def warn(execution_id: str, error: OrchestratorError) -> None:
        app.messages.warn(f"{execution_id}: {error.message}")
        # One that is not valid, or has no record, has no name either.
        unread.extend([error] if error.is_inconclusive else [])

    if store is None or options.field is None:
        for _, usage in usages:
            yield from usage.split_by_storage_class()
    else:
        yield from label_by_field(store, usages, options.field, warn)
