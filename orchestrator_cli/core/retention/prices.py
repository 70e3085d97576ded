"""What AWS charges for storage, requests and retrieval: constants with a date, never fetched.

US dollars, without tax, discounts and what leaves the region. S3 counts a GB as 2^30 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

PRICES_DATE = "2026-06-05"
PRICES_SOURCE = "https://aws.amazon.com/s3/pricing/"
REFERENCE_REGION = "us-east-1"
GIB = 1024**3
DAYS_PER_MONTH = 30
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
ARCHIVE_INDEX_BYTES = 32 * 1024  # charged as the archive class
ARCHIVE_NAME_BYTES = 8 * 1024  # charged as STANDARD
ARCHIVE_MINIMUM_DAYS = {"DEEP_ARCHIVE": 180, "GLACIER": 90}
# The first 50 TB of a month, the next 450 TB, and what is over 500 TB.
_TIERS_FROM_GIB = (50 * 1024, 500 * 1024)


@dataclass(frozen=True, slots=True)
class RetrievalPrice:
    """One tier of one archive class; `within_hours` is how long S3 takes at most, as a rule."""

    per_gib: float
    per_1000_requests: float
    within_hours: int


@dataclass(frozen=True, slots=True)
class RegionPrices:
    """The prices of one region.

    `standard_tiers` are (from so many GiB, price) of STANDARD beyond the first tier. `retrieval` is
    by storage class and tier, and empty where this table does not have it.
    """

    storage_per_gib_month: dict[str, Decimal]
    transition_per_1000: dict[str, Decimal]
    retrieval: dict[tuple[str, str], RetrievalPrice] = field(default_factory=dict)
    put_per_1000: Decimal = Decimal(0)
    standard_tiers: tuple[tuple[int, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by region, as of a date and from a source that one can look up."""

    date: str
    source: str
    regions: dict[str, RegionPrices]


_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
_US_RETRIEVAL = {
    ("DEEP_ARCHIVE", "bulk"): RetrievalPrice(0.0025, 0.025, 48),
    ("DEEP_ARCHIVE", "standard"): RetrievalPrice(0.02, 0.10, 12),
    ("GLACIER", "bulk"): RetrievalPrice(0.0, 0.0, 12),
    ("GLACIER", "standard"): RetrievalPrice(0.01, 0.05, 5),
}


def _region(
    storage: str, tiers: str, put: str, archiving: str, retrieval: bool = False
) -> RegionPrices:
    """Make a region's prices from words; `archiving` is the way to GLACIER and DEEP_ARCHIVE."""
    per_gib = dict(zip(_CLASSES, map(Decimal, storage.split()), strict=True))
    to_glacier, to_deep = map(Decimal, archiving.split())
    transitions = {
        "STANDARD_IA": Decimal("0.01"),
        "ONEZONE_IA": Decimal("0.01"),
        "GLACIER_IR": Decimal("0.02"),
        "GLACIER": to_glacier,
        "DEEP_ARCHIVE": to_deep,
    }
    above = tuple(zip(_TIERS_FROM_GIB, map(Decimal, tiers.split()), strict=True))
    return RegionPrices(
        per_gib, transitions, _US_RETRIEVAL if retrieval else {}, Decimal(put), above
    )


# Storage in the order of _CLASSES; STANDARD over 50 TB and over 500 TB; PUT; archiving.
_US = _region(
    "0.023 0.0125 0.01 0.004 0.0036 0.00099", "0.022 0.021", "0.005", "0.03 0.05", retrieval=True
)
_EU = ("0.023 0.0125 0.01 0.004 0.0036 0.00099", "0.022 0.021", "0.005", "0.033 0.055")
_EU_WEST = ("0.024 0.0131 0.01048 0.005 0.00405 0.0018", "0.023 0.022", "0.0053", "0.0318 0.06")
_ASIA = ("0.025 0.0138 0.011 0.005 0.0045 0.002", "0.024 0.023")
REGIONS: dict[str, RegionPrices] = {
    "us-east-1": _US,
    "us-east-2": _US,
    "us-west-1": _region(
        "0.026 0.0144 0.0115 0.005 0.0045 0.002", "0.025 0.024", "0.0055", "0.033 0.06"
    ),
    "us-west-2": _US,
    "ca-central-1": _region(
        "0.025 0.0138 0.01104 0.005 0.00405 0.0018", "0.024 0.023", "0.0055", "0.033 0.06"
    ),
    "eu-central-1": _region(
        "0.0245 0.0135 0.0108 0.005 0.00405 0.0018", "0.0235 0.0225", "0.0054", "0.036 0.06"
    ),
    "eu-north-1": _region(*_EU),
    "eu-west-1": _region(*_EU),
    "eu-west-2": _region(*_EU_WEST),
    "eu-west-3": _region(*_EU_WEST),
    "ap-northeast-1": _region(*_ASIA, "0.0047", "0.03426 0.065"),
    "ap-northeast-2": _region(*_ASIA, "0.0045", "0.03258 0.06"),
    "ap-south-1": _region(*_ASIA, "0.005", "0.036 0.07"),
    "ap-southeast-1": _region(*_ASIA, "0.005", "0.036 0.06"),
    "ap-southeast-2": _region(*_ASIA, "0.0055", "0.036 0.06"),
    "sa-east-1": _region(
        "0.0405 0.0221 0.0177 0.0083 0.00765 0.0032", "0.039 0.037", "0.007", "0.042 0.1"
    ),
}
PRICES = PriceTable(PRICES_DATE, PRICES_SOURCE, REGIONS)


def region_prices(region: str) -> tuple[str, RegionPrices]:
    """Return prices with those of retrieval, and the name of the region whose they are.

    Where the region's own are missing, the reference region's give the order.
    """
    known = region if region in REGIONS and REGIONS[region].retrieval else REFERENCE_REGION
    return known, REGIONS[known]


def price_retrieval(
    prices: RegionPrices, storage_class: str, tier: str, count: int, size_bytes: int, days: int
) -> float:
    """Return what it costs to restore objects and to keep the copies for some days."""
    price = prices.retrieval[storage_class, tier]
    gib = size_bytes / GIB
    copies = float(prices.storage_per_gib_month["STANDARD"]) * days / DAYS_PER_MONTH
    return gib * (price.per_gib + copies) + count / 1000 * price.per_1000_requests
