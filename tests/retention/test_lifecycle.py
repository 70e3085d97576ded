"""`orchestrator lifecycle`: what it changes in a bucket, what it leaves alone, what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import Answer, Answered, Fault, Waiting
from tests.support.scene import Scene
from tests.support.stored.lifecycles import (
    DROPS_SIZE_FILTER,
    GET,
    OWNED,
    PUT,
    foreign_rule,
    put_rules,
    read_rules,
    rule_ids,
)

TAG = {"Key": "team", "Value": "bench"}
CLEANING = {
    "Status": "Enabled",
    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
DEFAULT_RULES = [
    {
        "ID": "orchestrator-archive",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "executions/", "ObjectSizeGreaterThan": 131072}},
        "Transitions": [{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}],
    },
    {
        "ID": "orchestrator-derived",
        "Filter": {"Prefix": "derived/"},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        **CLEANING,
    },
    {
        "ID": "orchestrator-executions",
        "Filter": {"Prefix": "executions/"},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        **CLEANING,
    },
    {
        "ID": "orchestrator-history",
        "Filter": {"Prefix": "history/"},
        "Expiration": {"Days": 180},
        **CLEANING,
    },
    {
        "ID": "orchestrator-live",
        "Filter": {"Prefix": "live/"},
        "Expiration": {"Days": 7},
        **CLEANING,
    },
]


# --- apply -----------------------------------------------------------------------------------


def test_apply_sets_the_default_rules(scene: Scene) -> None:
    result = scene.cli("lifecycle", "apply", "--yes").ok()
    assert result.out == ""
    assert result.err.count("the rules are set") == 1
    assert read_rules(scene.s3, scene.bucket) == DEFAULT_RULES
    [sent] = scene.recorder.calls(PUT)
    record = (
        scene.cli("--bucket", f"s3://{scene.bucket}/", "lifecycle", "apply", "--json").ok().json()
    )
    assert (record["bucket"], record["changed"]) == (scene.bucket, False)
    assert record["size_filter_dropped"] == []
    assert b"<ObjectSizeGreaterThan>131072</ObjectSizeGreaterThan>" in sent.request_body
    sizes = sent.request.headers["x-amz-transition-default-minimum-object-size"]
    assert sizes == "all_storage_classes_128K"
    assert "content-md5" in sent.request.headers


def test_a_server_that_drops_the_size_filter_keeps_the_rules_and_is_no_success(
    scene: Scene,
) -> None:
    scene.recorder.inject(DROPS_SIZE_FILTER, PUT)
    result = scene.cli("--quiet", "lifecycle", "apply", "--yes").expect(3)
    assert result.err.startswith(
        "error: the rules are set, but this server keeps orchestrator-archive WITHOUT its size"
    )
    assert "metadata.json" in result.err
    assert result.err.count("the rules are set") == 1
    assert rule_ids(scene.s3, scene.bucket) == OWNED
    record = scene.cli("lifecycle", "apply", "--json").expect(3).json()
    assert record["size_filter_dropped"] == ["orchestrator-archive"]


@pytest.mark.parametrize("before", [[], [foreign_rule()]], ids=["none", "foreign"])
def test_strict_takes_no_such_server(scene: Scene, before: list[Any]) -> None:
    if before:
        put_rules(scene.s3, scene.bucket, *before)
    scene.recorder.inject(DROPS_SIZE_FILTER, PUT)
    result = scene.cli("lifecycle", "apply", "--yes", "--strict").expect(6)
    assert "orchestrator-archive: without its size filter" in result.err
    assert "hint: the previous rules were put back" in result.err
    assert read_rules(scene.s3, scene.bucket) == before


def test_repeating_changes_nothing(scene: Scene) -> None:
    scene.cli("lifecycle", "apply", "--yes").ok()
    before = read_rules(scene.s3, scene.bucket)
    scene.recorder.clear()
    result = scene.cli("lifecycle", "apply").ok()
    assert "nothing to change" in result.err
    assert scene.recorder.count(PUT) == 0
    assert read_rules(scene.s3, scene.bucket) == before


def test_rules_of_others_stay_as_they_are(scene: Scene) -> None:
    theirs = [
        foreign_rule("a-tagged", Filter={"Tag": TAG}, Expiration={"Days": 9}),
        foreign_rule("b-disabled", Status="Disabled", Expiration={"Days": 1}),
        {
            "ID": "c-old-form",
            "Status": "Enabled",
            "Prefix": "builds/",
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 60, "StorageClass": "GLACIER"},
            ],
        },
    ]
    put_rules(scene.s3, scene.bucket, *theirs)
    before = read_rules(scene.s3, scene.bucket)
    scene.cli("lifecycle", "apply", "--yes").ok()
    # AWS takes the old form of a filter only where no rule has the new one.
    before[2]["Filter"] = {"Prefix": before[2].pop("Prefix")}
    assert read_rules(scene.s3, scene.bucket) == before + DEFAULT_RULES
    scene.cli("lifecycle", "apply", "--yes", "--archive-after", "30").ok()
    assert read_rules(scene.s3, scene.bucket)[:3] == before


def test_options_make_other_rules_and_remove_those_not_wanted(scene: Scene) -> None:
    put_rules(scene.s3, scene.bucket, foreign_rule())
    scene.cli("lifecycle", "apply", "--yes", "--archive-after", "45", "--expire-after", "400").ok()
    rules = {rule["ID"]: rule for rule in read_rules(scene.s3, scene.bucket)}
    assert rules["orchestrator-archive"]["Transitions"][0]["Days"] == 45
    assert rules["orchestrator-executions"]["Expiration"] == {"Days": 400}

    arguments = ("--archive-after", "0", "--override-policy", "--metadata-days", "0")
    scene.cli("lifecycle", "apply", "--yes", *arguments, "--noncurrent-days", "1").ok()
    rules = {rule["ID"]: rule for rule in read_rules(scene.s3, scene.bucket)}
    assert sorted(rules) == [*OWNED[1:], "theirs"]
    assert rules["orchestrator-history"]["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert rules["orchestrator-live"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--archive-after", "29"), "the policy is 30 to 90 days"),
        (("--archive-after", "91"), "--override-policy allows other values"),
        (("--archive-after", "60", "--expire-after", "60"), "would delete before"),
        (("--metadata-days", "-1"), "--metadata-days"),
    ],
)
def test_a_policy_that_is_not_allowed_is_refused(
    scene: Scene, arguments: tuple[str, ...], message: str
) -> None:
    assert message in scene.cli("lifecycle", "apply", "--yes", *arguments).expect(2).err
    assert scene.recorder.count() == 0


def test_deleting_from_deep_archive_early_is_warned_of(scene: Scene) -> None:
    early = scene.cli("lifecycle", "plan", "--expire-after", "200").ok()
    assert "deleting after 200 days costs as much as after 270" in early.err
    assert "warning" not in scene.cli("lifecycle", "plan", "--expire-after", "270").ok().err


def test_overlapping_rules_are_warned_of(scene: Scene) -> None:
    put_rules(
        scene.s3,
        scene.bucket,
        foreign_rule("everything", "", Expiration={"Days": 60}),
        foreign_rule(),
    )
    result = scene.cli("lifecycle", "apply", "--yes").ok()
    warning = "rule everything of others also acts on derived/, executions/, history/, live/"
    assert f"warning: {warning}" in result.err
    assert "S3 takes the earlier deletion and the cheaper class" in result.err
    assert "rule theirs" not in result.err


def test_a_thousand_rules_are_all_there_may_be(scene: Scene) -> None:
    theirs = [foreign_rule(f"r{number:04}", f"p{number}/") for number in range(996)]
    put_rules(scene.s3, scene.bucket, *theirs)
    result = scene.cli("lifecycle", "apply", "--yes").expect(2)
    assert "996 rules of others; with 5 of ours it would have more than S3's 1,000" in result.err
    assert scene.recorder.count(PUT) == 0

    put_rules(scene.s3, scene.bucket, *theirs[:995])
    scene.cli("--quiet", "lifecycle", "apply", "--yes").ok()
    assert len(read_rules(scene.s3, scene.bucket)) == 1000


# --- asking ----------------------------------------------------------------------------------


def test_without_a_terminal_a_change_needs_yes(scene: Scene) -> None:
    result = scene.cli("lifecycle", "apply").expect(2)
    assert "hint: --yes does it without asking" in result.err
    assert scene.recorder.count(PUT) == 0
    assert read_rules(scene.s3, scene.bucket) == []


def test_on_a_terminal_it_asks(scene: Scene, terminal: Callable[..., Terminal]) -> None:
    no = terminal("lifecycle", "apply", columns=160)
    no.read_until(rb"add orchestrator-archive: ")
    no.read_until(rb"\[y/N\]: ")
    no.send(b"n\n")
    assert no.wait() == 130
    assert read_rules(scene.s3, scene.bucket) == []

    yes = terminal("lifecycle", "apply", columns=160)
    yes.read_until(rb"\[y/N\]: ")
    yes.send(b"y\n")
    assert yes.wait() == 0
    assert rule_ids(scene.s3, scene.bucket) == OWNED


# --- check, plan, show -----------------------------------------------------------------------


def test_check_exits_3_on_drift_and_changes_nothing(scene: Scene) -> None:
    assert (
        "orchestrator-archive" in scene.cli("lifecycle", "apply", "--check", "--yes").expect(3).err
    )
    assert scene.recorder.count(PUT) == 0
    scene.cli("lifecycle", "apply", "--yes").ok()
    scene.cli("lifecycle", "apply", "--check").ok()
    scene.cli("lifecycle", "apply", "--check", "--archive-after", "89").expect(3)

    changed = read_rules(scene.s3, scene.bucket)
    changed[3]["Status"] = "Disabled"
    put_rules(scene.s3, scene.bucket, *changed)
    result = scene.cli("lifecycle", "apply", "--check", "--json").expect(3)
    actions = {change["rule_id"]: change["action"] for change in result.json()["changes"]}
    assert actions == dict.fromkeys(OWNED, "keep") | {OWNED[3]: "change"}
    assert read_rules(scene.s3, scene.bucket) == changed
    scene.cli("lifecycle", "apply", "--yes").ok()
    assert read_rules(scene.s3, scene.bucket) == DEFAULT_RULES


def test_check_complains_of_a_dropped_size_filter(scene: Scene) -> None:
    scene.recorder.inject(DROPS_SIZE_FILTER, PUT)
    scene.cli("lifecycle", "apply", "--yes").expect(3)
    assert "WITHOUT its size filter" in scene.cli("lifecycle", "apply", "--check").expect(3).err
    assert (
        "orchestrator-archive"
        in scene.cli("lifecycle", "apply", "--check", "--strict").expect(3).err
    )


class _AnswersAListing(Fault):
    """A server without lifecycle: what asks for it is answered with a listing of the bucket."""

    def response_head(self, status: int, waiting: Waiting) -> None:
        listing = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        raise Answered(200, listing + b"<Name>b</Name></ListBucketResult>", {})


@pytest.mark.parametrize("fault", [_AnswersAListing(), Answer(501, "NotImplemented")])
@pytest.mark.parametrize("command", [("show",), ("plan",), ("apply", "--yes")])
def test_a_server_without_lifecycle_is_said_to_have_none(
    scene: Scene, command: tuple[str, ...], fault: Fault
) -> None:
    scene.recorder.inject(fault, GET, times=None)
    result = scene.cli("lifecycle", *command).expect(2)
    assert "this server has no lifecycle rules" in result.err
    assert scene.recorder.count(PUT) == 0


def test_plan_says_in_words_what_would_change(scene: Scene) -> None:
    put_rules(scene.s3, scene.bucket, foreign_rule())
    result = scene.cli("lifecycle", "plan").ok()
    assert [line.split()[:2] for line in result.lines] == [
        *(["add", rule_id] for rule_id in OWNED),
        ["foreign", "theirs"],
    ]
    assert "executions/ over 128 KiB: to DEEP_ARCHIVE after 90 days" in result.out
    assert scene.recorder.count(PUT) == 0

    record = scene.cli("lifecycle", "plan", "--json").ok().json()
    assert (record["bucket"], record["changed"], record["overlaps"]) == (scene.bucket, True, [])
    archive = record["changes"][0]
    assert archive["before"] is None
    assert archive["after"]["Filter"]["And"]["ObjectSizeGreaterThan"] == 128 * 1024
    assert read_rules(scene.s3, scene.bucket) == [foreign_rule()]


def test_show_tells_ours_from_those_of_others(scene: Scene) -> None:
    none = scene.cli("lifecycle", "show").ok()
    assert (none.out, none.err) == ("", "the bucket has no lifecycle rules\n")
    put_rules(scene.s3, scene.bucket, foreign_rule())
    scene.cli("lifecycle", "apply", "--yes").ok()
    rows = {line.split()[1]: line.split()[0] for line in scene.cli("lifecycle", "show").ok().lines}
    assert rows == {"theirs": "foreign", **dict.fromkeys(OWNED, "ours")}
    record = scene.cli("lifecycle", "show", "--json").ok().json()
    assert record["rules"] == [foreign_rule(), *DEFAULT_RULES]


def test_a_name_in_a_rule_is_data(scene: Scene) -> None:
    put_rules(scene.s3, scene.bucket, foreign_rule("evil\u202eid", "p\u2066x/"))
    result = scene.cli("lifecycle", "show").ok()
    assert "evil\\u202eid" in result.out
    assert "p\\u2066x/" in result.out


# --- settings --------------------------------------------------------------------------------


def test_options_come_from_the_environment_and_the_config_file(scene: Scene) -> None:
    config = scene.directory / "config.toml"
    config.write_text("[lifecycle.plan]\narchive-after = 31\nmetadata-days = 32\n")
    environment = {
        "ORCHESTRATOR_CONFIG": str(config),
        "ORCHESTRATOR_LIFECYCLE_PLAN_METADATA_DAYS": "33",
    }
    result = scene.cli("lifecycle", "plan", env=environment).ok()
    assert "to DEEP_ARCHIVE after 31 days" in result.out
    assert "history/: deleted after 33 days" in result.out


@pytest.mark.parametrize("table", ["lifecycle.nothing", "lifecycle", "plan"])
def test_a_config_table_of_no_command_is_refused(scene: Scene, table: str) -> None:
    config = scene.directory / "config.toml"
    config.write_text(f"[{table}]\narchive-after = 31\n")
    scene.cli("lifecycle", "plan", env={"ORCHESTRATOR_CONFIG": str(config)}).expect(2)


def test_a_bucket_that_is_not_there_is_exit_4(scene: Scene) -> None:
    for name in ("plan", "show", "apply"):
        assert (
            "no such bucket"
            in scene.cli("--bucket", "nowhere-at-all", "lifecycle", name).expect(4).err
        )
