"""Rules as data: made from a policy, compared whatever form a server answers in, said in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.retention.lifecycle.configuration import (
    Action,
    Configuration,
    archive_days,
    diff_readback,
    list_overlaps,
    plan_changes,
    same_configuration,
)
from orchestrator_cli.core.retention.lifecycle.policy import (
    OWNED_IDS,
    RetentionPolicy,
    check_policy,
    plan_rules,
)
from orchestrator_cli.core.retention.lifecycle.rule import (
    conditions,
    describe_rule,
    normalize,
    to_api_form,
    without_size_filter,
)
from orchestrator_cli.core.retention.prices import aws_prices, price_retrieval, retrieval_prices
from orchestrator_cli.docgen.pages.retention import archived_per_gib_month

DEFAULT = plan_rules(RetentionPolicy())
POLICIES = st.builds(
    RetentionPolicy,
    archive_after_days=st.integers(0, 400),
    history_days=st.integers(0, 400),
    expire_after_days=st.integers(0, 4000),
    noncurrent_days=st.integers(1, 400),
)
FOREIGN: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda number, prefix, days: {
        "ID": f"theirs-{number}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
    },
    st.integers(0, 10**6),
    st.text(max_size=5),
    st.integers(1, 9),
)


def rule(**parts: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}, **parts}


# --- the same rule in several forms ----------------------------------------------------------

SAME = [
    (rule(Filter={"Prefix": "a/"}), rule(Filter={"And": {"Prefix": "a/"}})),
    (
        {"ID": "r", "Status": "Enabled", "Prefix": "a/", "Expiration": {"Days": 1}},
        rule(Filter={"Prefix": "a/"}),
    ),
    (rule(Filter={"Prefix": ""}), rule(Filter={})),
    (rule(), rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": False})),
    (rule(), rule(Transitions=[], NoncurrentVersionTransitions=[])),
    (
        rule(Filter={"Tag": {"Key": "k", "Value": "v"}}),
        rule(Filter={"And": {"Tags": [{"Key": "k", "Value": "v"}]}}),
    ),
    (
        rule(Transitions=[{"Days": 1, "StorageClass": "A"}, {"Days": 2, "StorageClass": "B"}]),
        rule(Transitions=[{"Days": 2, "StorageClass": "B"}, {"Days": 1, "StorageClass": "A"}]),
    ),
]
DIFFERENT = [
    (rule(), rule(Status="Disabled")),
    (rule(), rule(Expiration={"Days": 2})),
    (rule(), rule(Expiration={"Date": datetime(2030, 1, 1, tzinfo=UTC)})),
    (rule(), rule(Filter={"Prefix": "a/"})),
    (rule(Filter={"Prefix": "a/"}), rule(Filter={"Prefix": "b/"})),
    (rule(), rule(Filter={"ObjectSizeGreaterThan": 0})),
    (rule(), rule(Filter={"Tag": {"Key": "k", "Value": ""}})),
    (rule(), rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1})),
    (rule(), rule(NoncurrentVersionExpiration={"NoncurrentDays": 1})),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_equal_forms_are_equal(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert normalize(one) == normalize(two)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_what_means_something_else_differs(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert normalize(one) != normalize(two)


TAGS = [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]


@pytest.mark.parametrize(
    ("answered", "sent"),
    [
        (
            {"Filter": {"Prefix": "t/", "And": {"Tags": TAGS}}},
            {"And": {"Prefix": "t/", "Tags": TAGS}},
        ),
        ({"Filter": {"Prefix": "t/", "Tag": TAGS[0]}}, {"And": {"Prefix": "t/", "Tags": TAGS[:1]}}),
        ({"Filter": {"And": {"Tags": TAGS[:1]}}}, {"Tag": TAGS[0]}),
        ({"Filter": {"And": {"Prefix": "t/"}}}, {"Prefix": "t/"}),
        ({"Filter": {"ObjectSizeLessThan": 5}}, {"ObjectSizeLessThan": 5}),
        ({"Prefix": "old/"}, {"Prefix": "old/"}),
        ({"Prefix": ""}, {"Prefix": ""}),
        ({"Filter": {}}, {"Prefix": ""}),
    ],
)
def test_a_rule_is_sent_in_the_form_that_every_server_understands(
    answered: dict[str, Any], sent: dict[str, Any]
) -> None:
    """The first two are how Ceph answers; sent so, it would drop the prefix."""
    whole = {"ID": "r", "Status": "Enabled", "Expiration": {"Days": 1}, **answered}
    assert to_api_form(whole) == rule(Filter=sent)
    assert normalize(to_api_form(whole)) == normalize(whole)


# --- plans -----------------------------------------------------------------------------------


@given(POLICIES, st.lists(FOREIGN, max_size=5, unique_by=lambda one: str(one["ID"])))
def test_a_plan_keeps_every_foreign_rule_and_is_done_once(
    policy: RetentionPolicy, foreign: list[Any]
) -> None:
    plan = plan_changes(Configuration(tuple(foreign)), plan_rules(policy))
    assert [one for one in plan.wanted.rules if one["ID"] not in OWNED_IDS] == foreign
    again = plan_changes(plan.wanted, plan_rules(policy))
    assert again.changed == ()
    assert same_configuration(again.wanted, plan.wanted)


@given(POLICIES, POLICIES)
def test_any_policy_changes_to_any_other_as_from_none(
    one: RetentionPolicy, two: RetentionPolicy
) -> None:
    first = plan_changes(Configuration(), plan_rules(one)).wanted
    plan = plan_changes(first, plan_rules(two))
    assert same_configuration(plan.wanted, plan_changes(Configuration(), plan_rules(two)).wanted)
    assert bool(plan.changed) == (plan_rules(one) != plan_rules(two))


def test_a_lost_size_filter_is_a_change_only_where_the_server_must_keep_it() -> None:
    kept = Configuration(tuple(without_size_filter(one) for one in DEFAULT))
    assert [change.action for change in plan_changes(kept, DEFAULT).changed] == [Action.CHANGE]
    weaker = plan_changes(kept, DEFAULT, size_filter_may_miss=True)
    assert (weaker.changed, weaker.size_filter_dropped) == ((), ("orchestrator-archive",))


def test_every_rule_is_confined_to_a_prefix_of_ours() -> None:
    policy = RetentionPolicy(expire_after_days=1000)
    prefixes = {dict(conditions(one))["Prefix"] for one in plan_rules(policy)}
    assert prefixes == {"derived/", "executions/", "history/", "live/"}


def test_the_order_of_rules_means_nothing() -> None:
    rules = DEFAULT
    assert same_configuration(Configuration(rules), Configuration(rules[::-1]))


def test_only_our_own_size_filter_may_be_dropped() -> None:
    theirs = rule(Filter={"And": {"Prefix": "a/", "ObjectSizeGreaterThan": 5}})
    sent = Configuration((theirs, *DEFAULT))
    kept = Configuration(tuple(without_size_filter(one) for one in sent.rules))
    difference = diff_readback(sent, kept)
    assert difference.size_filter_dropped == ("orchestrator-archive",)
    assert difference.other == ("r: kept as “a/: deleted after 1 day”",)


def test_a_rule_too_many_or_too_few_is_a_difference() -> None:
    sent = Configuration((rule(),))
    assert diff_readback(sent, Configuration()).other == ("r: is missing",)
    assert diff_readback(Configuration(), sent).other == ("r: was not sent",)


@pytest.mark.parametrize("days", [30, 60, 90])
def test_the_policy_allows_archiving_after_30_to_90_days(days: int) -> None:
    check_policy(RetentionPolicy(archive_after_days=days))


@pytest.mark.parametrize("days", [0, 1, 29, 91, 3650])
def test_the_policy_needs_to_be_overridden(days: int) -> None:
    policy = RetentionPolicy(archive_after_days=days)
    with pytest.raises(UsageError, match="30 to 90 days"):
        check_policy(policy)
    check_policy(policy, any_age=True)


# --- in words --------------------------------------------------------------------------------


def test_the_words_say_everything_a_rule_does() -> None:
    whole = rule(
        Status="Disabled",
        Filter={
            "And": {
                "Prefix": "a/",
                "ObjectSizeGreaterThan": 1024,
                "ObjectSizeLessThan": 5000,
                "Tags": [{"Key": "team", "Value": "x"}],
            }
        },
        Transitions=[{"Days": 1, "StorageClass": "GLACIER"}],
        Expiration={"Date": datetime(2030, 1, 31, tzinfo=UTC)},
        NoncurrentVersionTransitions=[{"NoncurrentDays": 3, "StorageClass": "GLACIER"}],
        NoncurrentVersionExpiration={"NoncurrentDays": 9, "NewerNoncurrentVersions": 2},
        AbortIncompleteMultipartUpload={"DaysAfterInitiation": 4},
    )
    assert describe_rule(whole) == (
        "disabled; a/ over 1 KiB under 5,000 B tag team=x: to GLACIER after 1 day; "
        "deleted on 2030-01-31; noncurrent versions to GLACIER after 3 days; "
        "noncurrent versions deleted after 9 days but for 2; unfinished uploads ended after 4 days"
    )
    assert describe_rule({"ID": "r", "Status": "Enabled"}) == "every key: does nothing"


def test_overlaps_are_rules_of_others_that_act_on_our_keys() -> None:
    configuration = Configuration(
        (
            rule(ID="all"),
            rule(ID="inside", Filter={"Prefix": "executions/01"}),
            rule(ID="off", Status="Disabled"),
            rule(ID="apart", Filter={"Prefix": "exec-other/"}),
            rule(ID="idle", Expiration={}),
            *DEFAULT,
        )
    )
    named = [line.split()[1] for line in list_overlaps(configuration)]
    assert named == ["all", "inside"]


# --- since when ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "size_bytes", "days"),
    [
        ("executions/X/logs/stdout.log", 128 * 1024 + 1, 90),
        ("executions/X/logs/stdout.log", 128 * 1024, None),
        ("history/date=2026-01-01/X.json", 10**6, None),
    ],
)
def test_the_rules_tell_when_an_object_is_archived(
    key: str, size_bytes: int, days: int | None
) -> None:
    rules = Configuration(DEFAULT)
    assert archive_days(rules, key, size_bytes, "DEEP_ARCHIVE") == days
    assert archive_days(rules, key, size_bytes, "GLACIER") is None


# --- prices, by hand -------------------------------------------------------------------------


def test_restoring_is_priced_by_size_count_and_days() -> None:
    us = aws_prices().regions["us-east-1"]
    # 5 GiB: 5 × 0.0025 + 1 × 0.025/1000 + 5 × 0.023 × 7/30
    assert price_retrieval(us, "DEEP_ARCHIVE", "bulk", 1, 5 * 1024**3, 7) == pytest.approx(
        0.0125 + 0.000025 + 0.026833, abs=1e-6
    )
    # 1,000 objects of 1 MiB: 1000/1024 × 0.02 + 0.10 + 1000/1024 × 0.023 × 30/30
    assert price_retrieval(us, "DEEP_ARCHIVE", "standard", 1000, 1000 * 1024**2, 30) == (
        pytest.approx(0.019531 + 0.10 + 0.022461, abs=1e-6)
    )
    assert price_retrieval(us, "GLACIER", "bulk", 10**6, 0, 7) == 0


def test_an_archived_object_carries_40_kib() -> None:
    us = aws_prices().regions["us-east-1"]
    # (0.00099 × (128 + 32) + 0.023 × 8) / 128
    assert archived_per_gib_month(us, 128 * 1024) == pytest.approx(0.002675)


def test_an_unknown_region_is_priced_as_the_reference() -> None:
    assert retrieval_prices("eu-nowhere-1") == ("us-east-1", aws_prices().regions["us-east-1"])
    assert retrieval_prices("us-west-2")[0] == "us-west-2"
