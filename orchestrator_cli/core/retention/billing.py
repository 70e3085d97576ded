"""What stored objects cost. Whole bytes and counts are added up first, and priced last.

Amounts are exact decimals in US dollars; only dividing by the days of a month rounds, at the 60th
digit. A month has 30 days. S3 counts a GB as 2^30 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from orchestrator_cli.core.base.quantities import GIB
from orchestrator_cli.core.retention.forecast import LifecycleForecaster
from orchestrator_cli.core.retention.prices import (
    ARCHIVE_INDEX_BYTES,
    ARCHIVE_NAME_BYTES,
    DAYS_PER_MONTH,
    RegionPrices,
)
from orchestrator_cli.core.s3.storage_classes import ARCHIVE_CLASSES, STANDARD, storage_class_named
from orchestrator_cli.core.s3.types import ObjectSummary

MONTHS = 12
_EXACT = Context(prec=60)
_NANO = Decimal("1e-9")
ZERO = Decimal(0)


@dataclass(slots=True)
class ClassUsage:
    """Objects of one storage class.

    `billed_bytes` is what the class counts, without the overhead of archives; `writes` the
    requests that it took at least; `paid_byte_days` what minimum durations still ask for.
    """

    objects: int = 0
    size_bytes: int = 0
    billed_bytes: int = 0
    writes: int = 0
    paid_byte_days: int = 0

    def add(self, other: ClassUsage) -> None:
        """Add another's numbers."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.billed_bytes += other.billed_bytes
        self.writes += other.writes
        self.paid_byte_days += other.paid_byte_days


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Objects of class `origin` that, within a month from now, move on from a class.

    `target` None: they are deleted. Month 1 is the next 30 days; after the twelfth it is 13.
    """

    origin: str
    month: int
    source: str
    target: str | None


@dataclass(slots=True)
class Usage:
    """What an execution, or a group of them, stores: whole numbers that add up.

    `changes` holds, by change: objects, bytes billed in the source, bytes billed in the target.
    """

    executions: int = 0
    classes: dict[str, ClassUsage] = field(default_factory=dict)
    changes: dict[ClassChange, tuple[int, int, int]] = field(default_factory=dict)
    unfinished_uploads: int = 0
    unfinished_parts: int = 0
    unfinished_bytes: int = 0

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return sum(used.objects for used in self.classes.values())

    @property
    def size_bytes(self) -> int:
        """How large they are together, without overhead and unfinished uploads."""
        return sum(used.size_bytes for used in self.classes.values())

    def add(self, other: Usage) -> None:
        """Add another's numbers."""
        self.executions += other.executions
        for name, used in other.classes.items():
            self.classes.setdefault(name, ClassUsage()).add(used)
        for change, numbers in other.changes.items():
            self._change(change, *numbers)
        self.unfinished_uploads += other.unfinished_uploads
        self.unfinished_parts += other.unfinished_parts
        self.unfinished_bytes += other.unfinished_bytes

    def add_object(self, listed: ObjectSummary, forecaster: LifecycleForecaster) -> None:
        """Add one object, and what the rules will do with it."""
        origin, size = listed.storage_class, listed.size_bytes
        forecast = forecaster.forecast(listed)
        archived = size + (ARCHIVE_INDEX_BYTES if origin in ARCHIVE_CLASSES else 0)
        used = self.classes.setdefault(origin, ClassUsage())
        used.objects += 1
        used.size_bytes += size
        used.billed_bytes += billed_bytes(origin, size)
        used.writes += count_writes(listed.etag)
        used.paid_byte_days += max(billed_bytes(origin, size), archived) * forecast.paid_days
        source = origin
        for day, target in forecast.moves:
            numbers = (1, billed_bytes(source, size), billed_bytes(target, size))
            self._change(ClassChange(origin, _month(day), source, target), *numbers)
            source = target
        if forecast.billed_end_day is not None:
            end = ClassChange(origin, _month(forecast.billed_end_day), source, None)
            self._change(end, 1, billed_bytes(source, size), 0)

    def split_by_storage_class(self) -> Iterator[tuple[str | None, Usage]]:
        """Yield each storage class with its part, and None with the unfinished uploads."""
        for name, used in self.classes.items():
            changes = {one: n for one, n in self.changes.items() if one.origin == name}
            yield name, Usage(self.executions, {name: used}, changes)
        if self.unfinished_uploads:
            yield None, replace(self, classes={}, changes={})

    def _change(self, change: ClassChange, objects: int, before: int, after: int) -> None:
        had = self.changes.get(change, (0, 0, 0))
        self.changes[change] = (had[0] + objects, had[1] + before, had[2] + after)


def billed_bytes(storage_class: str, size_bytes: int) -> int:
    """Return the bytes a class counts for one object, without the overhead of archives."""
    return max(size_bytes, storage_class_named(storage_class).least_billed_bytes)


def count_writes(etag: str) -> int:
    """Return the requests that wrote an object: 1, or its parts, the beginning and the end."""
    _, separator, parts = etag.rpartition("-")
    return int(parts) + 2 if separator and parts.isdecimal() else 1


def _month(day: int) -> int:
    return min(max(1, -(-day // DAYS_PER_MONTH)), MONTHS + 1)


# --- prices ----------------------------------------------------------------------------------

StoredBytesByClass = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """US dollars. The first five are a month's, the others are paid once.

    `overhead` and `unfinished` are part of `now`, and `discount` is what volume prices have taken
    off it. `after_archive` is when every move is made and before anything expires. `commitment` is
    what minimum durations would still cost if everything were deleted now.
    """

    now: Decimal
    overhead: Decimal
    unfinished: Decimal
    discount: Decimal
    after_archive: Decimal
    writes: Decimal
    transitions_paid: Decimal
    transitions_to_come: Decimal
    commitment: Decimal


def estimate_cost(
    usage: Usage, prices: RegionPrices, aborts_uploads: bool, with_tiers: bool = False
) -> CostEstimate:
    """Return what a usage costs. `with_tiers` applies the volume prices of STANDARD to it."""
    with localcontext(_EXACT):
        counts = {name: used.objects for name, used in usage.classes.items()}
        moved: dict[str, int] = {}
        for change, numbers in usage.changes.items():
            if change.target is not None:
                moved[change.target] = moved.get(change.target, 0) + numbers[0]
        writes = sum(used.writes for used in usage.classes.values())
        writes += usage.unfinished_uploads + usage.unfinished_parts
        now = price_month(usage, prices, 0, aborts_uploads, with_tiers)
        return CostEstimate(
            now=now,
            overhead=sum((_overhead(prices, *item) for item in counts.items()), ZERO),
            unfinished=usage.unfinished_bytes * per_byte(prices, STANDARD),
            discount=price_month(usage, prices, 0, aborts_uploads) - now if with_tiers else ZERO,
            after_archive=_price_archived(usage, prices, aborts_uploads, with_tiers),
            writes=writes * prices.put_per_1000 / 1000,
            transitions_paid=_transitions(prices, counts),
            transitions_to_come=_transitions(prices, moved),
            commitment=_commitment(usage, prices),
        )


def price_month(
    usage: Usage, prices: RegionPrices, month: int, aborts_uploads: bool, with_tiers: bool = False
) -> Decimal:
    """Return what a month of storage costs, `month` months from now; 0 is now."""
    with localcontext(_EXACT):
        due = {one: n for one, n in usage.changes.items() if one.month <= month}
        unfinished = 0 if month and aborts_uploads else usage.unfinished_bytes
        return _price_stored(_stored_bytes(usage, due, unfinished), prices, with_tiers)


def round_for_output(amount: Decimal) -> Decimal:
    """Round to a billionth of a dollar, half to even: only for writing, never before adding."""
    return amount.quantize(_NANO, ROUND_HALF_EVEN, _EXACT)


def per_byte(prices: RegionPrices, storage_class: str) -> Decimal:
    """Return the price of a byte and month; a class without a price costs as much as STANDARD."""
    by_class = prices.storage_per_gib_month
    return by_class.get(storage_class, by_class[STANDARD]) / GIB


def _price_archived(
    usage: Usage, prices: RegionPrices, aborts_uploads: bool, with_tiers: bool
) -> Decimal:
    moves = {one: n for one, n in usage.changes.items() if one.target is not None}
    unfinished = 0 if aborts_uploads else usage.unfinished_bytes
    return _price_stored(_stored_bytes(usage, moves, unfinished), prices, with_tiers)


def _stored_bytes(
    usage: Usage, changes: dict[ClassChange, tuple[int, int, int]], unfinished: int
) -> StoredBytesByClass:
    """Return objects and billed bytes by class once these changes are made."""
    stock = {name: (used.objects, used.billed_bytes) for name, used in usage.classes.items()}

    def add(name: str, objects: int, size_bytes: int) -> None:
        had = stock.get(name, (0, 0))
        stock[name] = (had[0] + objects, had[1] + size_bytes)

    for change, (objects, before, after) in changes.items():
        add(change.source, -objects, -before)
        if change.target is not None:
            add(change.target, objects, after)
    # The parts of an unfinished upload are charged as STANDARD, whatever they will become.
    add(STANDARD, 0, unfinished)
    return stock


def _price_stored(stock: StoredBytesByClass, prices: RegionPrices, with_tiers: bool) -> Decimal:
    named = sum(count for name, (count, _) in stock.items() if name in ARCHIVE_CLASSES)
    total = ZERO
    for name, (objects, size_bytes) in stock.items():
        index = ARCHIVE_INDEX_BYTES * objects if name in ARCHIVE_CLASSES else 0
        total += (size_bytes + index) * per_byte(prices, name)
    total += named * ARCHIVE_NAME_BYTES * per_byte(prices, STANDARD)
    if with_tiers:
        standard = stock.get(STANDARD, (0, 0))[1] + named * ARCHIVE_NAME_BYTES
        total -= _volume_discount(standard, prices)
    return total


def _volume_discount(size_bytes: int, prices: RegionPrices) -> Decimal:
    """Return what the volume tiers of STANDARD take off the price of the first."""
    discount, price = ZERO, prices.storage_per_gib_month[STANDARD]
    for from_gib, tier in prices.standard_tiers:
        discount += max(0, size_bytes - from_gib * GIB) * (price - tier) / GIB
        price = tier
    return discount


def _overhead(prices: RegionPrices, name: str, objects: int) -> Decimal:
    if name not in ARCHIVE_CLASSES:
        return ZERO
    index = ARCHIVE_INDEX_BYTES * per_byte(prices, name)
    return objects * (index + ARCHIVE_NAME_BYTES * per_byte(prices, STANDARD))


def _transitions(prices: RegionPrices, counts: dict[str, int]) -> Decimal:
    each = prices.transition_per_1000
    return sum((n * each.get(name, ZERO) / 1000 for name, n in counts.items()), ZERO)


def _commitment(usage: Usage, prices: RegionPrices) -> Decimal:
    days = [(used.paid_byte_days, name) for name, used in usage.classes.items()]
    return sum((n * per_byte(prices, name) / DAYS_PER_MONTH for n, name in days if n), ZERO)
