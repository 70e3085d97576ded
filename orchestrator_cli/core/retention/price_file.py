"""Prices of one's own, from a JSON or TOML file, in place of the table in the package."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.retention.prices import PriceTable, RegionPrices

_REGION_FIELDS = frozenset(
    ("storage_per_gib_month", "transition_per_1000", "put_per_1000", "standard_tiers")
)


def read_prices(path: Path) -> PriceTable:
    """Read a price table: `date`, `source`, and `regions` by name. Raises UsageError.

    Of a region: `storage_per_gib_month` by storage class with at least STANDARD,
    `transition_per_1000` by storage class, `put_per_1000`, and `standard_tiers`, a list of
    [from so many GiB, price]. US dollars; what is left out is free, except a storage class.
    """
    try:
        content = _parse(path)
        return _table(content)
    except OSError as error:
        raise UsageError(f"cannot read {printable(path)}: {error.strerror}") from error
    except KeyError as error:
        raise _unusable(path, f"{error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise _unusable(path, str(error) or "not a price") from error


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{printable(path)} is no price table: {printable(why)}",
        hint="man orchestrator-cost shows the form",
    )


def _parse(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".toml":
        return tomllib.loads(text, parse_float=Decimal)
    return json.loads(text, parse_float=Decimal)


def _table(content: dict[str, Any]) -> PriceTable:
    regions = {str(name): _region(table) for name, table in content["regions"].items()}
    if not regions:
        raise ValueError("regions is empty")
    return PriceTable(str(content["date"]), str(content["source"]), regions)


def _region(table: dict[str, Any]) -> RegionPrices:
    unknown = sorted(set(table) - _REGION_FIELDS)
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    tiers = [(int(start), _price(price)) for start, price in table.get("standard_tiers", ())]
    storage = _prices(table["storage_per_gib_month"])
    if "STANDARD" not in storage:
        raise KeyError("storage_per_gib_month.STANDARD")
    return RegionPrices(
        storage_per_gib_month=storage,
        transition_per_1000=_prices(table.get("transition_per_1000", {})),
        put_per_1000=_price(table.get("put_per_1000", 0)),
        standard_tiers=tuple(sorted(tiers)),
    )


def _prices(table: dict[str, Any]) -> dict[str, Decimal]:
    return {str(name): _price(price) for name, price in table.items()}


def _price(value: object) -> Decimal:
    # Text, so that a file may also write "0.00099".
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{value} is not a price")
    return price
