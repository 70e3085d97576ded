"""Prices of storage, requests and retrieval: AWS's own, from prices.toml, or those of a file.

US dollars, without tax, discounts and what leaves the region. S3 counts a GB as 2^30 bytes.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.quantities import GIB
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.small_file import read_small_file
from orchestrator_cli.core.s3.storage_classes import STANDARD

AWS_PRICES_FILE = Path(__file__).with_name("prices.toml")
REFERENCE_REGION = "us-east-1"
DAYS_PER_MONTH = 30
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
ARCHIVE_INDEX_BYTES = 32 * 1024  # charged as the archive class
ARCHIVE_NAME_BYTES = 8 * 1024  # charged as STANDARD


@dataclass(frozen=True, slots=True)
class RetrievalPrice:
    """One tier of one archive class. S3 restores within `within_hours` as a rule."""

    per_gib: float
    per_1000_requests: float
    within_hours: int


@dataclass(frozen=True, slots=True)
class RegionPrices:
    """The prices of one region.

    `standard_tiers` are (from so many GiB, price) of STANDARD beyond the first tier. `retrieval` is
    by storage class and tier, and empty where the table does not have it.
    """

    storage_per_gib_month: dict[str, Decimal]
    transition_per_1000: dict[str, Decimal]
    retrieval: dict[tuple[str, str], RetrievalPrice] = field(default_factory=dict)
    put_per_1000: Decimal = Decimal(0)
    get_per_1000: Decimal = Decimal(0)
    standard_tiers: tuple[tuple[int, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by region, with the date and the source that they are from."""

    date: str
    source: str
    regions: dict[str, RegionPrices]


@cache
def aws_prices() -> PriceTable:
    """Return AWS's list prices, as they come with the package."""
    return read_prices(AWS_PRICES_FILE)


def read_prices(path: Path) -> PriceTable:
    """Read a price table in TOML or JSON: `date`, `source`, and `regions` by name.

    prices.toml says which fields a region has. What is left out is free, except STANDARD's storage,
    which must be there. Raises UsageError.
    """
    try:
        return _parse_table(_load(path))
    except OSError as error:
        raise UsageError(f"cannot read {printable(path)}: {error.strerror}") from error
    except KeyError as error:
        raise _invalid(path, f"{error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _invalid(path, str(error) or "not a price") from error


def retrieval_prices(region: str) -> tuple[str, RegionPrices]:
    """Return AWS's prices of a region with those of retrieval, and the name of the region.

    Where the region's own are not known, those of the reference region give the order.
    """
    regions = aws_prices().regions
    known = region if region in regions and regions[region].retrieval else REFERENCE_REGION
    return known, regions[known]


def price_retrieval(
    prices: RegionPrices, storage_class: str, tier: str, count: int, size_bytes: int, days: int
) -> float:
    """Return what it costs to restore `count` objects and to keep the copies for some days."""
    price = prices.retrieval[storage_class, tier]
    gib = size_bytes / GIB
    copies = float(prices.storage_per_gib_month[STANDARD]) * days / DAYS_PER_MONTH
    return gib * (price.per_gib + copies) + count / 1000 * price.per_1000_requests


# --- parsing ---------------------------------------------------------------------------------


def _invalid(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{printable(path)} is not a price table: {printable(why)}",
        hint="man orchestrator-cost shows the form",
    )


def _load(path: Path) -> Any:
    text, _ = read_small_file(path)
    if path.suffix.lower() == ".toml":
        return tomllib.loads(text, parse_float=Decimal)
    return json.loads(text, parse_float=Decimal)


def _parse_table(content: dict[str, Any]) -> PriceTable:
    regions = {str(name): _parse_region(table) for name, table in content["regions"].items()}
    if not regions:
        raise ValueError("regions is empty")
    return PriceTable(str(content["date"]), str(content["source"]), regions)


def _parse_region(table: dict[str, Any]) -> RegionPrices:
    unknown = sorted(set(table).difference(one.name for one in fields(RegionPrices)))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    tiers = [(int(start), _price(price)) for start, price in table.get("standard_tiers", ())]
    storage = _prices(table["storage_per_gib_month"])
    if STANDARD not in storage:
        raise KeyError(f"storage_per_gib_month.{STANDARD}")
    return RegionPrices(
        storage_per_gib_month=storage,
        transition_per_1000=_prices(table.get("transition_per_1000", {})),
        retrieval=_parse_retrieval(table.get("retrieval", {})),
        put_per_1000=_price(table.get("put_per_1000", 0)),
        get_per_1000=_price(table.get("get_per_1000", 0)),
        standard_tiers=tuple(sorted(tiers)),
    )


def _parse_retrieval(table: dict[str, Any]) -> dict[tuple[str, str], RetrievalPrice]:
    return {
        (storage_class, tier): RetrievalPrice(
            per_gib=float(_price(prices["per_gib"])),
            per_1000_requests=float(_price(prices["per_1000_requests"])),
            within_hours=int(prices["within_hours"]),
        )
        for storage_class, tiers in table.items()
        for tier, prices in tiers.items()
    }


def _prices(table: dict[str, Any]) -> dict[str, Decimal]:
    return {str(name): _price(price) for name, price in table.items()}


def _price(value: object) -> Decimal:
    # By way of text, so that a file may also write "0.00099".
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{value} is not a price")
    return price
