"""orchestrator-retention(7): the text of retention.md with rules and prices of the code."""

from __future__ import annotations

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.retention import archive, prices
from orchestrator_cli.core.retention.lifecycle import policy as lifecycle
from orchestrator_cli.core.retention.lifecycle.rule import describe_rule
from orchestrator_cli.docgen.manpages import RETENTION_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage

# The object sizes in the table of prices.
_SIZES_KIB = (4, 128, 1024, 10 * 1024)


def render_retention_page(version: str) -> str:
    """Return the page."""
    return render_manpage(RETENTION_PAGE, "retention.md", _values(), version)


def _values() -> dict[str, str]:
    policy = lifecycle.RetentionPolicy()
    retain = SyncRules().retain
    _, reference = prices.retrieval_prices(prices.REFERENCE_REGION)
    return {
        "archive_longest": str(lifecycle.LONGEST_ARCHIVE_DAYS),
        "archive_shortest": str(lifecycle.SHORTEST_ARCHIVE_DAYS),
        "default_minimum": lifecycle.DEFAULT_MINIMUM,
        "index_kib": str(prices.ARCHIVE_INDEX_BYTES // 1024),
        "life": _life(policy),
        "minimum_days": str(lifecycle.ARCHIVE_MINIMUM_DAYS),
        "name_kib": str(prices.ARCHIVE_NAME_BYTES // 1024),
        "noncurrent_days": str(policy.noncurrent_days),
        "overhead_kib": str((prices.ARCHIVE_INDEX_BYTES + prices.ARCHIVE_NAME_BYTES) // 1024),
        "over_kib": str(lifecycle.ARCHIVE_OVER_BYTES // 1024),
        "prices_date": prices.aws_prices().date,
        "prices_source": prices.aws_prices().source,
        "region": prices.REFERENCE_REGION,
        "restore_days": str(archive.RESTORE_DAYS),
        "retain_days": str(retain.days if retain else 0),
        "rules": _rules(policy),
        "sizes": _sizes(reference),
        "standard": f"{reference.storage_per_gib_month['STANDARD']:.3f}",
        "retrieval": _retrieval(reference),
        "transition": f"{reference.transition_per_1000[lifecycle.ARCHIVE_CLASS]:.2f}",
    }


def _life(policy: lifecycle.RetentionPolicy) -> str:
    over = f"over {lifecycle.ARCHIVE_OVER_BYTES // 1024} KiB"
    events = (
        ("day 0", "written once; can be read at any time"),
        (f"day {policy.abort_uploads_days}", "an unfinished upload ends; until then it resumes"),
        (f"day {policy.archive_after_days}", f"{over}: moved to Glacier Deep Archive; to be read,"),
        ("", "it has to be restored first"),
        (f"day {policy.history_days}", "its line in history/ is deleted"),
        ("after that", f"kept, at {_share_of_standard()} of the price"),
    )
    return "\n".join(f"    {when:<12}{what}" for when, what in events)


def _share_of_standard() -> str:
    """Return what an object of 1 MiB costs in Deep Archive, as a fraction of its STANDARD price."""
    _, reference = prices.retrieval_prices(prices.REFERENCE_REGION)
    standard = float(reference.storage_per_gib_month["STANDARD"])
    return f"1/{standard / archived_per_gib_month(reference, 1024**2):.0f}"


def _rules(policy: lifecycle.RetentionPolicy) -> str:
    return "\n\n".join(
        f"`{rule['ID']}`\n:   {describe_rule(rule)}." for rule in lifecycle.plan_rules(policy)
    )


def archived_per_gib_month(reference: prices.RegionPrices, size_bytes: int) -> float:
    """Return the monthly price of a GiB in Deep Archive, stored in objects of this size."""
    storage = reference.storage_per_gib_month
    archived = float(storage[lifecycle.ARCHIVE_CLASS]) * (size_bytes + prices.ARCHIVE_INDEX_BYTES)
    return (archived + float(storage["STANDARD"]) * prices.ARCHIVE_NAME_BYTES) / size_bytes


def _sizes(reference: prices.RegionPrices) -> str:
    standard = float(reference.storage_per_gib_month["STANDARD"])
    move = float(reference.transition_per_1000[lifecycle.ARCHIVE_CLASS]) / 1000
    lines = ["    object size    per GiB and month    months until the move has paid"]
    for size_kib in _SIZES_KIB:
        archived = archived_per_gib_month(reference, size_kib * 1024)
        saved = (standard - archived) * size_kib / 1024**2
        pays = f"{move / saved:.1f}" if saved > 0 else "never"
        lines.append(f"    {size_kib:7,} KiB    ${archived:.4f}              {pays}")
    return "\n".join(lines)


def _retrieval(reference: prices.RegionPrices) -> str:
    lines = ["    tier        within    per GiB    per 1,000 files"]
    for tier in ("bulk", "standard"):
        price = reference.retrieval[lifecycle.ARCHIVE_CLASS, tier]
        lines.append(
            f"    {tier:10}  {price.within_hours} h      ${price.per_gib:.4f}"
            f"    ${price.per_1000_requests:.3f}"
        )
    return "\n".join(lines)
