"""The sums of `orchestrator cost`, by hand: against the published price rules, exactly.

Prices of us-east-1, US dollars: a GB-month of STANDARD 0.023, of DEEP_ARCHIVE 0.00099; 1,000 PUT
requests 0.005; 1,000 transitions to DEEP_ARCHIVE 0.05. A GB is 2^30 bytes = 1,048,576 KiB. Each
object in DEEP_ARCHIVE is charged for 32 KiB more there and for 8 KiB in STANDARD, for 180 days at
least. Fractions here, so that nothing rounds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from orchestrator_cli.core.retention.billing import (
    CostEstimate,
    Usage,
    count_writes,
    estimate_cost,
    price_month,
    round_for_output,
)
from orchestrator_cli.core.retention.forecast import LifecycleForecaster, Retention, compile_rules
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from orchestrator_cli.core.retention.prices import aws_prices, price_retrieval, retrieval_prices
from orchestrator_cli.core.s3.types import ObjectSummary

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
US = aws_prices().regions["us-east-1"]
KIB, MIB, GIB = 1024, 1024**2, 1024**3
KIB_PER_GB = 1_048_576

# Size; a month in STANDARD and in DEEP_ARCHIVE, in dollars × KIB_PER_GB: KiB × price of a GB.
SUMS = [
    #            1 × 0.023 = 0.023;     (1 + 32) × 0.00099 + 8 × 0.023 = 0.03267 + 0.184
    (1 * KIB, "0.023", "0.21667"),
    #          100 × 0.023 = 2.3;     (100 + 32) × 0.00099 + 8 × 0.023 = 0.13068 + 0.184
    (100 * KIB, "2.3", "0.31468"),
    #        1,024 × 0.023 = 23.552; (1,024 + 32) × 0.00099 + 8 × 0.023 = 1.04544 + 0.184
    (1 * MIB, "23.552", "1.22944"),
    # 5 GiB = 5,242,880 KiB; × 0.023 = 120,586.24;
    #                    (5,242,880 + 32) × 0.00099 + 8 × 0.023 = 5,190.48288 + 0.184
    (5 * GIB, "120586.24", "5190.66688"),
]
# The same, as one would see it on a estimate, rounded to a billionth.
ROUNDED = [
    ("0.000000022", "0.000000207"),
    ("0.000002193", "0.000000300"),
    ("0.000022461", "0.000001172"),
    ("0.115000000", "0.004950206"),
]


def stored(size: int, storage_class: str = "STANDARD", **fields: object) -> ObjectSummary:
    known = {"key": "executions/01/x", "etag": "e", "last_modified": NOON, **fields}
    return ObjectSummary(size_bytes=size, storage_class=storage_class, **known)  # type: ignore[arg-type]


def make_forecaster(
    retention: Retention | None = None, now: datetime = NOON
) -> LifecycleForecaster:
    return LifecycleForecaster(retention or Retention(), now)


def default_retention(**policy: int) -> Retention:
    rules = plan_rules(RetentionPolicy(**policy))
    return compile_rules(Configuration(rules), small_objects_stay=True)


def usage_of(*objects: ObjectSummary, forecaster: LifecycleForecaster | None = None) -> Usage:
    usage = Usage(executions=1)
    for one in objects:
        usage.add_object(one, forecaster or make_forecaster())
    return usage


def bill_of(*objects: ObjectSummary, forecaster: LifecycleForecaster | None = None) -> CostEstimate:
    return estimate_cost(usage_of(*objects, forecaster=forecaster), US, aborts_uploads=True)


# --- one object ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "standard", "deep"), SUMS)
def test_a_month_of_one_object_costs_what_aws_says(size: int, standard: str, deep: str) -> None:
    estimate = bill_of(stored(size))
    assert Fraction(estimate.now) == Fraction(standard) / KIB_PER_GB
    assert estimate.overhead == 0
    estimate = bill_of(stored(size, "DEEP_ARCHIVE"))
    assert Fraction(estimate.now) == Fraction(deep) / KIB_PER_GB
    # 32 × 0.00099 + 8 × 0.023 = 0.03168 + 0.184
    assert Fraction(estimate.overhead) == Fraction("0.21568") / KIB_PER_GB


@pytest.mark.parametrize(
    ("size", "standard", "deep"),
    [(size, *shown) for (size, _, _), shown in zip(SUMS, ROUNDED, strict=True)],
)
def test_a_month_as_it_is_written(size: int, standard: str, deep: str) -> None:
    assert f"{round_for_output(bill_of(stored(size)).now):f}" == standard
    assert f"{round_for_output(bill_of(stored(size, 'DEEP_ARCHIVE')).now):f}" == deep


@pytest.mark.parametrize(("size", "standard", "deep"), SUMS)
def test_the_default_policy_archives_only_what_is_large(
    size: int, standard: str, deep: str
) -> None:
    forecaster = make_forecaster(default_retention())
    estimate = bill_of(stored(size), forecaster=forecaster)
    usage = usage_of(stored(size), forecaster=forecaster)
    archived = size > 128 * KIB
    after = Fraction(deep if archived else standard) / KIB_PER_GB
    assert Fraction(estimate.now) == Fraction(standard) / KIB_PER_GB
    assert Fraction(estimate.after_archive) == after
    # 0.05 / 1,000 for the one object that moves.
    assert estimate.transitions_to_come == (Decimal("0.00005") if archived else 0)
    assert estimate.transitions_paid == 0
    # Stored at noon, it is 90 days old at noon of day 90; S3 moves it at the midnight after, day
    # 91 by whole days, which is within the fourth month.
    months = [Fraction(price_month(usage, US, month, True)) for month in range(13)]
    assert months == [Fraction(standard) / KIB_PER_GB] * 4 + [after] * 9


def test_ten_of_each_cost_ten_times_as_much() -> None:
    objects = [stored(size) for size, _, _ in SUMS] * 10
    estimate = bill_of(*objects, forecaster=make_forecaster(default_retention()))
    # 0.023 + 2.3 + 23.552 + 120,586.24 = 120,612.115
    assert Fraction(estimate.now) == Fraction("1206121.15") / KIB_PER_GB
    # 0.023 + 2.3 + 1.22944 + 5,190.66688 = 5,194.21932
    assert Fraction(estimate.after_archive) == Fraction("51942.1932") / KIB_PER_GB
    # 40 requests of 0.000005; 20 transitions of 0.00005.
    assert estimate.writes == Decimal("0.0002")
    assert estimate.transitions_to_come == Decimal("0.001")


# --- minimum duration ------------------------------------------------------------------------


@pytest.mark.parametrize(("age_days", "left"), [(0, 180), (1, 179), (100, 80), (180, 0), (400, 0)])
def test_an_archived_object_is_paid_for_180_days(age_days: int, left: int) -> None:
    """What was stored in the class at once; no rule says otherwise."""
    listed = stored(MIB, "DEEP_ARCHIVE", last_modified=NOON - timedelta(days=age_days))
    # (1,024 + 32) KiB × 0.00099 × left / 30 months
    expected = Fraction("1.04544") / KIB_PER_GB * left / 30
    commitment = bill_of(listed).commitment
    assert abs(Fraction(commitment) - expected) < Fraction(1, 10**60)


def test_the_minimum_counts_from_the_day_of_the_move() -> None:
    listed = stored(MIB, "DEEP_ARCHIVE", last_modified=NOON - timedelta(days=100))
    forecast = make_forecaster(default_retention()).forecast(listed)
    # Moved at the midnight after day 90: 9 days and 12 hours ago.
    assert forecast.paid_days == 180 - 9
    assert bill_of(listed).transitions_paid == Decimal("0.00005")


def test_standard_has_no_minimum() -> None:
    assert bill_of(stored(GIB)).commitment == 0


def test_an_object_that_expires_early_in_the_archive_is_paid_to_the_end() -> None:
    forecaster = make_forecaster(default_retention(archive_after_days=30, expire_after_days=60))
    large, small = stored(MIB), stored(KIB)
    # Archived on day 31; deleted on day 61, and paid until day 31 + 180 = 211, in month 8.
    assert forecaster.forecast(large).moves == ((31, "DEEP_ARCHIVE"),)
    assert forecaster.forecast(large).billed_end_day == 211
    assert forecaster.forecast(small).billed_end_day == 61
    usage = usage_of(large, small, forecaster=forecaster)
    months = [price_month(usage, US, month, True) for month in range(13)]
    one, other = (Fraction("0.023") / KIB_PER_GB, Fraction("23.552") / KIB_PER_GB)
    deep = Fraction("1.22944") / KIB_PER_GB
    expected = [one + other] * 2 + [one + deep] + [deep] * 5 + [Fraction(0)] * 5
    assert [Fraction(amount) for amount in months] == expected
    assert Fraction(estimate_cost(usage, US, True).after_archive) == one + deep


# --- volume, requests, unfinished uploads, other classes ---------------------------------------


def test_volume_prices_count_in_a_total_only() -> None:
    usage = Usage()
    for _ in range(600):
        usage.add_object(stored(1024 * GIB), make_forecaster())
    # 600 TB = 614,400 GB: 51,200 × 0.023 + 460,800 × 0.022 + 102,400 × 0.021
    #   = 1,177.6 + 10,137.6 + 2,150.4
    assert estimate_cost(usage, US, True, with_tiers=True).now == Decimal("13465.6")
    # 614,400 × 0.023
    assert estimate_cost(usage, US, True).now == Decimal("14131.2")


@pytest.mark.parametrize(
    ("etag", "writes"),
    [("d41d8cd98f00b204e9800998ecf8427e", 1), ("0f" * 16 + "-640", 642), ("", 1), ("a-b", 1)],
)
def test_requests_follow_from_the_etag(etag: str, writes: int) -> None:
    """640 parts, their beginning and their end."""
    assert count_writes(etag) == writes
    assert bill_of(stored(KIB, etag=etag)).writes == Decimal("0.000005") * writes


def test_unfinished_parts_are_paid_as_standard_until_they_are_ended() -> None:
    usage = Usage(1, unfinished_uploads=1, unfinished_parts=3, unfinished_bytes=24 * MIB)
    # 24,576 KiB × 0.023 = 565.248
    expected = Fraction("565.248") / KIB_PER_GB
    for aborts, later in ((True, Fraction(0)), (False, expected)):
        estimate = estimate_cost(usage, US, aborts)
        assert Fraction(estimate.now) == Fraction(estimate.unfinished) == expected
        assert Fraction(estimate.after_archive) == later
        assert Fraction(price_month(usage, US, 1, aborts)) == later
        # One request that began it, three parts.
        assert estimate.writes == Decimal("0.00002")


def test_small_objects_count_as_128_kib_where_a_class_says_so() -> None:
    # 128 × 0.0125 = 1.6; 128 × 0.004 = 0.512
    assert Fraction(bill_of(stored(KIB, "STANDARD_IA")).now) == Fraction("1.6") / KIB_PER_GB
    assert Fraction(bill_of(stored(KIB, "GLACIER_IR")).now) == Fraction("0.512") / KIB_PER_GB
    # GLACIER has the overhead of DEEP_ARCHIVE: (1 + 32) × 0.0036 + 8 × 0.023
    assert Fraction(bill_of(stored(KIB, "GLACIER")).now) == Fraction("0.3028") / KIB_PER_GB


def test_a_class_without_a_price_costs_what_standard_costs() -> None:
    assert bill_of(stored(GIB, "EXPRESS_ONEZONE")).now == Decimal("0.023")


def test_parts_add_up_to_the_whole() -> None:
    forecaster = make_forecaster(default_retention())
    objects = [stored(size, name) for size, _, _ in SUMS for name in ("STANDARD", "DEEP_ARCHIVE")]
    whole = usage_of(*objects, forecaster=forecaster)
    whole.unfinished_uploads, whole.unfinished_bytes = 1, 5 * MIB
    estimates = [estimate_cost(part, US, False) for _, part in whole.split_by_storage_class()]
    total = estimate_cost(whole, US, False)
    assert len(estimates) == 3
    for name in CostEstimate.__dataclass_fields__:
        assert sum(getattr(estimate, name) for estimate in estimates) == getattr(total, name)


# --- rules -----------------------------------------------------------------------------------


def rule(**fields: object) -> dict[str, object]:
    return {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, **fields}


def moves_by(*rules: dict[str, object], size: int = MIB, on_aws: bool = True) -> object:
    retention = compile_rules(Configuration(rules), small_objects_stay=on_aws)
    return make_forecaster(retention).forecast(stored(size)).moves


def test_several_rules_make_a_chain_of_colder_classes() -> None:
    glacier = rule(Transitions=[{"Days": 60, "StorageClass": "GLACIER"}])
    deep = rule(Transitions=[{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}])
    warmer = rule(Transitions=[{"Days": 120, "StorageClass": "STANDARD_IA"}])
    assert moves_by(deep, warmer, glacier) == ((61, "GLACIER"), (91, "DEEP_ARCHIVE"))
    same_day = rule(Transitions=[{"Days": 60, "StorageClass": "DEEP_ARCHIVE"}])
    assert moves_by(glacier, same_day) == ((61, "DEEP_ARCHIVE"),)


def test_rules_that_mean_other_objects_do_nothing() -> None:
    transitions = [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]
    for other in (
        rule(Transitions=transitions, Status="Disabled"),
        rule(Transitions=transitions, Filter={"Prefix": "logs/"}),
        rule(Transitions=transitions, Filter={"Tag": {"Key": "a", "Value": "b"}}),
        rule(Transitions=transitions, Filter={"ObjectSizeLessThan": 1000}),
        rule(Transitions=transitions, Filter={"ObjectSizeGreaterThan": MIB}),
        rule(Transitions=[{"Date": NOON, "StorageClass": "GLACIER"}]),
    ):
        assert moves_by(other) == ()


def test_a_rule_without_a_size_leaves_small_objects_on_aws() -> None:
    plain = rule(Transitions=[{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}])
    sized = {**plain, "Filter": {"ObjectSizeGreaterThan": 0}}
    assert moves_by(plain, size=128 * KIB - 1) == ()
    assert moves_by(plain, size=128 * KIB) != ()
    assert moves_by(plain, size=1, on_aws=False) != ()
    assert moves_by(sized, size=1) != ()


def test_what_is_overdue_moves_within_the_next_month() -> None:
    listed = stored(MIB, last_modified=NOON - timedelta(days=200))
    forecaster = make_forecaster(default_retention())
    assert forecaster.forecast(listed).moves == ((0, "DEEP_ARCHIVE"),)
    usage = usage_of(listed, forecaster=forecaster)
    assert price_month(usage, US, 0, True) > price_month(usage, US, 1, True)


# --- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize("region", aws_prices().regions)
def test_every_region_has_every_price(region: str) -> None:
    prices = aws_prices().regions[region]
    assert prices.storage_per_gib_month.keys() == US.storage_per_gib_month.keys()
    assert prices.transition_per_1000.keys() == US.transition_per_1000.keys()
    by_class = list(prices.storage_per_gib_month.values())
    # Colder is cheaper, and so is more.
    assert by_class == sorted(by_class, reverse=True)
    tiers = [by_class[0], *(price for _, price in prices.standard_tiers)]
    assert tiers == sorted(tiers, reverse=True)
    assert [start for start, _ in prices.standard_tiers] == [51_200, 512_000]
    assert 0 < prices.put_per_1000 < prices.transition_per_1000["DEEP_ARCHIVE"]


def test_retrieval_is_priced_where_the_table_has_it() -> None:
    assert retrieval_prices("us-west-2") == ("us-west-2", aws_prices().regions["us-west-2"])
    assert retrieval_prices("eu-central-1")[0] == retrieval_prices("moon-1")[0] == "us-east-1"
    # 10 GB in bulk: 10 × 0.0025, a month of 10 × 0.023, and 1,000 requests of 0.025 / 1,000.
    dollars = price_retrieval(US, "DEEP_ARCHIVE", "bulk", 1000, 10 * GIB, 30)
    assert dollars == pytest.approx(0.025 + 0.23 + 0.025)
