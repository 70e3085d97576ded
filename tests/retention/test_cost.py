"""`orchestrator cost`: text, JSON and CSV; groups, rules, prices and what cannot be read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands.running import RunCommand, strip_ansi
from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import Answer
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_keys
from tests.support.stored.objects import make_bucket, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
WINDOW = ("--since", "2026-01-15", "--until", "2026-01-16")
KIB = 1024
GIB = 1024**3


def standard(size_bytes: int) -> float:
    """A month in STANDARD in us-east-1, rounded to a billionth."""
    return float(round(Fraction("0.023") * size_bytes / GIB, 9))


# --- a window in a long history --------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(s3: S3Client) -> Iterator[tuple[str, list[str]]]:
    """A bucket of 2,000 objects: a day of 300 executions of two, and others before and after."""
    bucket = make_bucket(s3)
    minute = timedelta(minutes=1)
    inside = [make_id(NOON + minute * number, number) for number in range(300)]
    before = [make_id(NOON - timedelta(days=9) + minute * n, n) for n in range(400)]
    after = [make_id(NOON + timedelta(days=9) + minute * n, n) for n in range(300)]
    names = ("a.txt", "b.txt")
    keys = [f"executions/{one}/artifacts/custom/{n}" for one in [*before, *inside] for n in names]
    put_keys(s3, bucket, [*keys, *(f"executions/{one}/{n}" for one in after for n in names)])
    yield bucket, inside
    remove_bucket(s3, bucket)


def test_requests_follow_the_window(scene: Scene, crowded: tuple[str, list[str]]) -> None:
    bucket, inside = crowded
    result = scene.cli("--bucket", bucket, "cost", "--json", *WINDOW).ok()
    *groups, total = result.json_lines()
    assert [one["group"] for one in groups] == inside
    assert (total["executions"], total["objects"], total["size_bytes"]) == (300, 600, 1200)
    assert scene.recorder.operations() == {
        # Below executions/, and below live/.
        "ListObjectsV2": 2,
        "ListMultipartUploads": 1,
        "GetBucketLifecycleConfiguration": 1,
    }


def test_the_whole_history_costs_about_a_request_a_thousand(
    scene: Scene, crowded: tuple[str, list[str]]
) -> None:
    options = ("--since", "2020-01-01", "--by", "class", "--json")
    group, total = scene.cli("--bucket", crowded[0], "cost", *options).ok().json_lines()
    assert group["group"] == "STANDARD"
    for record in (group, total):
        assert (record["executions"], record["objects"]) == (1000, 2000)
        assert record["dollars_per_month"] == standard(4000)
    assert 3 <= scene.recorder.count("ListObjectsV2") <= 6


# --- what is counted -------------------------------------------------------------------------


@pytest.fixture
def execution(scene: Scene) -> str:
    """One with 1 MiB in STANDARD, 100 KiB in Deep Archive, and an unfinished upload of 5 MiB."""
    execution_id = scene.put_execution(make_id(NOON), test_suite="smoke", runner_type="ec2")
    scene.put_file(execution_id, "logs/stdout.log", bytes(1024 * KIB))
    scene.put_file(execution_id, "logs/old.log", bytes(100 * KIB), StorageClass="DEEP_ARCHIVE")
    key = f"executions/{execution_id}/artifacts/custom/big"
    begun = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=key)
    scene.s3.upload_part(
        Bucket=scene.bucket,
        Key=key,
        UploadId=begun["UploadId"],
        PartNumber=1,
        Body=bytes(5 * 1024 * KIB),
    )
    return execution_id


def metadata_size(scene: Scene, execution_id: str) -> int:
    key = f"executions/{execution_id}/metadata.json"
    return scene.s3.head_object(Bucket=scene.bucket, Key=key)["ContentLength"]


def test_the_cost_of_one_execution_is_exact_in_json(scene: Scene, execution: str) -> None:
    record, total = scene.cli("cost", execution, "--json").ok().json_lines()
    small = metadata_size(scene, execution)
    # (100 + 32) KiB × 0.00099 + 8 KiB × 0.023
    deep = (132 * KIB * Fraction("0.00099") + 8 * KIB * Fraction("0.023")) / GIB
    overhead = (32 * KIB * Fraction("0.00099") + 8 * KIB * Fraction("0.023")) / GIB
    plain = (1024 * KIB + small) * Fraction("0.023") / GIB
    unfinished = 5 * 1024 * KIB * Fraction("0.023") / GIB
    # Of what is in STANDARD only 1 MiB is over 128 KiB: (1,024 + 32) KiB and 8 KiB.
    moved = (1056 * KIB * Fraction("0.00099") + 8 * KIB * Fraction("0.023")) / GIB
    assert record == {
        "by": "execution",
        "group": execution,
        "executions": 1,
        "objects": 3,
        "size_bytes": 1124 * KIB + small,
        "unfinished_uploads": 1,
        "unfinished_bytes": 5 * 1024 * KIB,
        "dollars_per_month": float(round(plain + deep + unfinished, 9)),
        "overhead_dollars_per_month": float(round(overhead, 9)),
        "unfinished_dollars_per_month": float(round(unfinished, 9)),
        "archived_dollars_per_month": float(
            round(moved + deep + small * Fraction("0.023") / GIB, 9)
        ),
        # Three objects; a beginning and a part.
        "request_dollars": 0.000025,
        "transition_dollars_paid": 0.00005,
        "transition_dollars_to_come": 0.00005,
        "minimum_duration_dollars": float(round(132 * KIB * Fraction("0.00099") / GIB * 6, 9)),
        "storage": {
            "DEEP_ARCHIVE": {"objects": 1, "size_bytes": 100 * KIB},
            "STANDARD": {"objects": 2, "size_bytes": 1024 * KIB + small},
        },
    }
    assert total["by"] == "total"
    assert total["rules"] == "default"
    assert total["prices"] == {
        "region": "us-east-1",
        "date": "2026-06-05",
        "source": "https://aws.amazon.com/s3/pricing/",
    }
    months = total["dollars_per_month_to_come"]
    assert len(months) == 13
    assert months[0] == record["dollars_per_month"]
    assert months[-1] == record["archived_dollars_per_month"]


def test_the_cost_of_one_execution_is_printed(cli: RunCommand, execution: str) -> None:
    result = cli("cost", execution).ok()
    rows = [line.split() for line in result.lines[:2]]
    assert [row[0] for row in rows] == [execution, "total"]
    assert rows[0][1:] == rows[1][1:] == ["3", "6.1", "MiB", "$0.000135", "$0.000001"]
    summary = {line.split("\t")[0]: line.split("\t")[1:] for line in result.lines[3:]}
    assert summary == {
        "stored now": ["$0.000135", "a month"],
        "of it archives' overhead": ["<$0.000001", "a month"],
        "of it unfinished uploads": ["$0.000112", "a month"],
        "when the rules have archived": ["$0.000001", "a month"],
        "requests that wrote it, at least": ["$0.000025", "once"],
        "transitions made": ["$0.000050", "once"],
        "transitions to come": ["$0.000050", "once"],
        "minimum durations, if deleted now": ["<$0.000001", "once"],
    }
    assert "prices of us-east-1, 2026-06-05, https://aws.amazon.com/s3/pricing/" in result.err
    assert "the default policy of `orchestrator lifecycle apply` (the bucket has no rules)" in (
        result.err
    )
    assert "\x1b" not in result.out


def test_csv_has_a_header_and_no_total(cli: RunCommand, execution: str) -> None:
    record = cli("cost", execution, "--json").ok().json_lines()[0]
    rows = list(csv.DictReader(io.StringIO(cli("cost", execution, "--csv").ok().out)))
    del record["storage"]
    assert len(rows) == 1
    assert list(rows[0]) == list(record)
    assert rows[0]["group"] == execution
    assert float(rows[0]["dollars_per_month"]) == record["dollars_per_month"]
    assert "e-" not in rows[0]["overhead_dollars_per_month"]


def test_nothing_is_a_header_a_total_or_a_word(scene: Scene) -> None:
    assert scene.cli("cost").ok().out == ""
    assert "no such executions in this time window" in scene.cli("cost").err
    assert scene.cli("cost", "--csv").ok().out.startswith("by,group,executions,")
    (total,) = scene.cli("cost", "--json").ok().json_lines()
    assert (total["by"], total["executions"], total["dollars_per_month"]) == ("total", 0, 0)


def test_an_execution_of_nothing_but_an_unfinished_upload_counts(scene: Scene) -> None:
    first, second, third = (make_id(NOON, number) for number in range(3))
    for one in (first, third):
        scene.put_file(one, "logs/stdout.log", b"x")
    outside = make_id(NOON - timedelta(days=3))
    for one in (second, outside):
        scene.s3.create_multipart_upload(
            Bucket=scene.bucket, Key=f"executions/{one}/artifacts/custom/x"
        )
    *groups, total = scene.cli("cost", "--json", *WINDOW).ok().json_lines()
    assert [one["group"] for one in groups] == [first, second, third]
    assert total["unfinished_uploads"] == 1
    assert scene.cli("cost", second, "--json").ok().json_lines()[0]["objects"] == 0


@pytest.mark.parametrize("named", [True, False])
def test_live_segments_count_for_the_week_that_they_are_kept(
    scene: Scene, execution: str, named: bool
) -> None:
    arguments = (execution,) if named else WINDOW
    before, _ = scene.cli("cost", *arguments, "--json").ok().json_lines()
    outside = make_id(NOON - timedelta(days=3))
    for one in (execution, outside, "foreign"):
        for offset in (0, 1000):
            key = f"live/{one}/logs/stdout.log/{offset:020d}"
            scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=bytes(1000 * KIB))
    now, total = scene.cli("cost", *arguments, "--json").ok().json_lines()
    assert (now["group"], total["executions"]) == (execution, 1)
    assert now["objects"] == before["objects"] + 2
    assert now["size_bytes"] == before["size_bytes"] + 2000 * KIB
    months = total["dollars_per_month_to_come"]
    gone = now["unfinished_dollars_per_month"] + standard(2000 * KIB)
    assert months[0] - months[1] == pytest.approx(gone, abs=2e-9)


def test_an_end_alone_means_the_30_days_before_it(scene: Scene) -> None:
    inside, outside = (make_id(NOON - timedelta(days=days)) for days in (29, 31))
    for one in (inside, outside):
        scene.put_file(one, "logs/stdout.log", b"x")
    *groups, _ = scene.cli("cost", "--json", "--until", NOON.isoformat()).ok().json_lines()
    assert [one["group"] for one in groups] == [inside]


# --- groups ----------------------------------------------------------------------------------


@pytest.fixture
def several(scene: Scene) -> list[str]:
    """Two of one suite, one of another whose name a spreadsheet would run, one without metadata."""
    ids = [make_id(NOON, number) for number in range(4)]
    scene.put_execution(ids[0], test_suite="smoke", runner_type="ec2")
    scene.put_execution(ids[1], test_suite="smoke", runner_type="eks")
    scene.put_execution(ids[2], test_suite="=1+1\x1b[2J", runner_type="ec2")
    for one in ids:
        scene.put_file(one, "logs/stdout.log", bytes(200 * KIB))
    return ids


def groups_of(cli: RunCommand, by: str) -> dict[Any, int]:
    *groups, total = cli("cost", "--json", "--by", by, *WINDOW).ok().json_lines()
    assert {one["by"] for one in groups} == {by}
    assert total["objects"] == sum(one["objects"] for one in groups)
    return {one["group"]: one["executions"] for one in groups}


def test_executions_are_added_up_by_any_group(cli: RunCommand, several: list[str]) -> None:
    assert groups_of(cli, "execution") == dict.fromkeys(several, 1)
    assert groups_of(cli, "suite") == {"smoke": 2, "=1+1\x1b[2J": 1, None: 1}
    assert groups_of(cli, "runner-type") == {"ec2": 2, "eks": 1, None: 1}
    assert groups_of(cli, "class") == {"STANDARD": 4}


def test_an_execution_that_cannot_be_read_is_told_and_counted_in_the_total(
    scene: Scene, several: list[str]
) -> None:
    record = f"{several[0]}/metadata.json$"
    scene.recorder.inject(Answer(403, "AccessDenied"), "GetObject", key=record, times=None)
    result = scene.cli("cost", "--json", "--by", "suite", *WINDOW).expect(3)
    *groups, total = result.json_lines()
    assert {one["group"]: one["executions"] for one in groups}["smoke"] == 1
    assert total["executions"] == 4
    assert f"warning: {several[0]}: " in result.err
    assert "error: 1 execution could not be read\n" in result.err


def test_names_from_outside_are_harmless(cli: RunCommand, several: list[str]) -> None:
    text = cli("cost", "--by", "suite", *WINDOW).ok()
    assert "\x1b" not in text.out + text.err
    assert f"warning: {several[3]}: no such execution" in text.err
    rows = csv.DictReader(io.StringIO(cli("cost", "--by", "suite", "--csv", *WINDOW).ok().out))
    assert [row["group"] for row in rows] == ["'=1+1\\x1b[2J", "smoke", ""]


def test_unfinished_uploads_are_a_class_of_their_own(cli: RunCommand, execution: str) -> None:
    *groups, _ = cli("cost", execution, "--json", "--by", "class").ok().json_lines()
    assert [(one["group"], one["objects"]) for one in groups] == [
        ("DEEP_ARCHIVE", 1),
        ("STANDARD", 2),
        (None, 0),
    ]
    assert cli("cost", execution, "--by", "class").ok().lines[2].startswith("unfinished uploads")


# --- rules -----------------------------------------------------------------------------------


def put_rule(scene: Scene, **actions: Any) -> None:
    rule: Any = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": "executions/"}, **actions}
    scene.s3.put_bucket_lifecycle_configuration(
        Bucket=scene.bucket, LifecycleConfiguration={"Rules": [rule]}
    )


def test_the_buckets_own_rules_are_applied(scene: Scene, several: list[str]) -> None:
    put_rule(scene, Transitions=[{"Days": 30, "StorageClass": "GLACIER"}])
    result = scene.cli("cost", several[3], "--json").ok()
    record, total = result.json_lines()
    assert total["rules"] == "bucket"
    # (200 + 32) KiB × 0.0036 + 8 KiB × 0.023
    glacier = (232 * KIB * Fraction("0.0036") + 8 * KIB * Fraction("0.023")) / GIB
    assert record["archived_dollars_per_month"] == float(round(glacier, 9))
    assert record["transition_dollars_to_come"] == 0.00003
    assert "archived by the bucket's lifecycle rules\n" in result.err


def test_rules_that_archive_nothing_are_said_to(scene: Scene, several: list[str]) -> None:
    put_rule(scene, Expiration={"Days": 45})
    result = scene.cli("cost", several[3], "--json").ok()
    record, total = result.json_lines()
    assert record["archived_dollars_per_month"] == record["dollars_per_month"]
    assert "which archive nothing" in result.err
    # It was stored now, so it is deleted in the second month.
    assert [bool(amount) for amount in total["dollars_per_month_to_come"]] == [True] * 2 + (
        [False] * 11
    )


def test_what_may_not_be_read_is_said_and_the_rest_counted(scene: Scene, execution: str) -> None:
    for operation in ("GetBucketLifecycleConfiguration", "ListMultipartUploads"):
        scene.recorder.inject(Answer(403, "AccessDenied"), operation, times=None)
    result = scene.cli("cost", execution, "--json").ok()
    record, total = result.json_lines()
    assert (record["objects"], record["unfinished_bytes"]) == (3, 0)
    assert total["rules"] == "default"
    assert "warning: unfinished uploads are not counted: " in result.err
    assert "the bucket's rules cannot be read" in result.err


# --- prices ----------------------------------------------------------------------------------

TOML = """
date = "2027-01-01"
source = "our contract"
[regions.lab]
put_per_1000 = 0
standard_tiers = [[1, 0.5]]
[regions.lab.storage_per_gib_month]
STANDARD = 1
DEEP_ARCHIVE = "0.125"
[regions.lab.transition_per_1000]
DEEP_ARCHIVE = 1.5
"""
JSON = json.dumps(
    {
        "date": "2027-01-01",
        "source": "our contract",
        "regions": {
            "lab": {
                "storage_per_gib_month": {"STANDARD": 1, "DEEP_ARCHIVE": 0.125},
                "transition_per_1000": {"DEEP_ARCHIVE": 1.5},
            }
        },
    }
)


@pytest.mark.parametrize(("name", "text"), [("p.toml", TOML), ("p.json", JSON)])
def test_prices_of_ones_own_are_taken(
    cli: RunCommand, several: list[str], tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    result = cli("cost", several[3], "--json", "--prices", file).ok()
    record, total = result.json_lines()
    assert record["dollars_per_month"] == float(round(Fraction(200 * KIB, GIB), 9))
    assert record["request_dollars"] == 0
    assert record["transition_dollars_to_come"] == 0.0015
    assert total["prices"] == {"region": "lab", "date": "2027-01-01", "source": "our contract"}
    assert "prices of lab, 2027-01-01, our contract" in result.err


def test_prices_of_another_region_are_taken(cli: RunCommand, several: list[str]) -> None:
    record, total = cli("cost", several[3], "--json", "--region", "eu-central-1").ok().json_lines()
    expected = Fraction("0.0245") * 200 * KIB / GIB
    assert record["dollars_per_month"] == float(round(expected, 9))
    assert total["prices"]["region"] == "eu-central-1"


def test_an_unknown_region_takes_the_reference_with_a_warning(
    cli: RunCommand, several: list[str]
) -> None:
    result = cli("cost", several[3], "--json", "--region", "moon-1").ok()
    assert "warning: no prices for moon-1: those of us-east-1 are taken" in result.err
    assert result.json_lines()[-1]["prices"]["region"] == "us-east-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a price table"),
        ("[]", "is not a price table"),
        ('{"date": "x", "source": "y", "regions": {}}', "regions is empty"),
        ('{"date": "x", "regions": {"r": {"storage_per_gib_month": {}}}}', "is missing"),
        ('{"date": "x", "source": "y", "regions": {"r": {"put": 1}}}', "unknown: put"),
        (JSON.replace("0.125", '"-1"'), "-1 is not a price"),
        (JSON.replace("0.125", '"NaN"'), "NaN is not a price"),
        (JSON.replace("0.125", '"much"'), "is not a price table"),
        (JSON.replace('"STANDARD": 1, ', ""), "storage_per_gib_month.STANDARD is missing"),
    ],
)
def test_a_file_that_is_no_price_table_is_exit_2(scene: Scene, text: str, said: str) -> None:
    file = scene.directory / "prices.json"
    file.write_text(text)
    result = scene.cli("cost", "--prices", file).expect(2)
    assert said in result.err
    assert result.stdout == b""


def test_a_region_that_the_file_lacks_is_exit_2(scene: Scene) -> None:
    file = scene.directory / "prices.toml"
    file.write_text(TOML + TOML[TOML.index("[regions.lab]") :].replace("lab", "other"))
    assert "one of lab, other" in scene.cli("cost", "--prices", file).expect(2).err
    assert scene.cli("cost", "--prices", scene.directory / "missing").expect(2).err


# --- usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "--csv"], "exclude each other"),
        ([make_id(NOON), "--since", "2d"], "go without ID"),
        (["--since", "2026-01-16", "--until", "2026-01-15"], "--until is before --since"),
        (["--by", "colour"], "is not one of"),
        (["--inventory", "s3://only-a-bucket"], "not the URL of a manifest"),
    ],
)
def test_wrong_usage_is_exit_2(scene: Scene, arguments: list[str], said: str) -> None:
    result = scene.cli("cost", *arguments).expect(2)
    assert said in result.err
    assert result.stdout == b""


def test_a_missing_execution_or_bucket_is_exit_4(scene: Scene) -> None:
    missing = make_id(NOON)
    assert f"no such execution: {missing}" in scene.cli("cost", missing).expect(4).err
    assert "no such bucket" in scene.cli("--bucket", f"{scene.bucket}-gone", "cost").expect(4).err


def test_ids_may_be_short_repeated_and_in_any_order(cli: RunCommand, several: list[str]) -> None:
    *groups, total = (
        cli("cost", several[1], several[0].lower(), several[1], "--json").ok().json_lines()
    )
    assert [one["group"] for one in groups] == several[:2]
    assert total["executions"] == 2


# --- a terminal ------------------------------------------------------------------------------


def test_a_terminal_gets_a_header_and_a_chart(
    terminal: Callable[..., Terminal], execution: str
) -> None:
    screen = terminal("cost", execution, columns=100)
    assert screen.wait() == 0
    shown = strip_ansi(screen.output.decode())
    assert shown.startswith("EXECUTION ")
    assert "if nothing is added:" in shown
    months = [line for line in shown.splitlines() if line.startswith("  in ")]
    bars = [line.count("\u2588") for line in months]
    assert len(bars) == 12
    # Now there is the unfinished upload, too; after it hardly anything is left.
    assert shown.count("\u2588") == 60 + sum(bars)
    assert bars[-1] <= 1
    assert max(map(len, months)) <= 100


def test_a_class_that_costs_as_standard_is_no_reason_to_warn(scene: Scene) -> None:
    execution_id = scene.put_execution()
    scene.put_file(execution_id, "logs/stdout.log", b"x", StorageClass="INTELLIGENT_TIERING")
    said = scene.cli("cost", execution_id).ok().err
    assert "INTELLIGENT_TIERING: counted as STANDARD, the price of its first 30 days" in said
    assert "warning" not in said
