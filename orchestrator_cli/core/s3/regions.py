"""The regions of AWS and the partitions they are in: a table, to which a new one is one line more.

https://docs.aws.amazon.com/general/latest/gr/rande.html
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Partition(NamedTuple):
    """Regions that share accounts: the name in their ARNs, and the domain of their services."""

    name: str
    domain: str


AWS = Partition("aws", "amazonaws.com")
# By how the names of their regions begin; all other regions are those of `AWS`.
_PARTITIONS = {
    "cn-": Partition("aws-cn", "amazonaws.com.cn"),
    "us-gov-": Partition("aws-us-gov", "amazonaws.com"),
    "us-iso-": Partition("aws-iso", "c2s.ic.gov"),
    "us-isob-": Partition("aws-iso-b", "sc2s.sgov.gov"),
    "us-isof-": Partition("aws-iso-f", "csp.hci.ic.gov"),
    "eu-isoe-": Partition("aws-iso-e", "cloud.adc-e.uk"),
    "eusc-": Partition("aws-eusc", "amazonaws.eu"),
}
DOMAINS = frozenset({"api.aws", AWS.domain, *(one.domain for one in _PARTITIONS.values())})
# Also a part of other patterns; without groups of its own.
REGION = r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}"


def is_region(text: str) -> bool:
    """Return True for what can be the name of a region of AWS."""
    return re.fullmatch(REGION, text) is not None


def partition_of(region: str | None) -> Partition:
    """Return the partition of a region: `aws` for an unknown region and for None."""
    named = (one for start, one in _PARTITIONS.items() if (region or "").startswith(start))
    return next(named, AWS)
