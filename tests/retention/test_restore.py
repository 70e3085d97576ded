"""`orchestrator restore`, and what other commands say of archived files."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.running import RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import (
    Answer,
    Answered,
    Fault,
    Waiting,
    access_denied,
    internal_error,
    slow_down,
)
from tests.support.scene import Scene
from tests.support.stored.executions import make_id
from tests.support.stored.lifecycles import put_rules

SIZE_BYTES = 1000
ARCHIVED = {
    "logs/stdout.log": "DEEP_ARCHIVE",
    "artifacts/custom/a b.bin": "DEEP_ARCHIVE",
    "artifacts/custom/old.bin": "GLACIER",
}
READABLE = "artifacts/results.json"


@pytest.fixture
def execution_id(scene: Scene) -> str:
    """An execution with three archived files and one that is not."""
    execution_id = scene.put_execution(files={READABLE: b"{}"})
    for path, storage_class in ARCHIVED.items():
        scene.put_file(execution_id, path, b"x" * SIZE_BYTES, StorageClass=storage_class)
    return execution_id


def restore_header(scene: Scene, execution_id: str, path: str) -> str | None:
    """Return what S3 says of the restore of a file."""
    head = scene.s3.head_object(Bucket=scene.bucket, Key=f"executions/{execution_id}/{path}")
    return head.get("Restore")


class Listing(Fault):
    """A server that lists the state of restores, as AWS does, of these files."""

    def __init__(self, execution_id: str, **states: str) -> None:
        self.execution_id = execution_id
        self.states = states

    def request_head(self, waiting: Waiting) -> None:
        found = "".join(self._entry(path) for path in sorted(ARCHIVED))
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        raise Answered(200, body.encode(), {"Content-Type": "application/xml"})

    def _entry(self, path: str) -> str:
        state = self.states.get(path.rpartition("/")[2].partition(".")[0].replace(" ", "_"), "")
        until = "<RestoreExpiryDate>2030-01-31T00:00:00.000Z</RestoreExpiryDate>"
        told = {
            "ongoing": "<IsRestoreInProgress>true</IsRestoreInProgress>",
            "restored": f"<IsRestoreInProgress>false</IsRestoreInProgress>{until}",
        }.get(state)
        status = f"<RestoreStatus>{told}</RestoreStatus>" if told else ""
        return (
            f"<Contents><Key>executions/{self.execution_id}/{path}</Key><Size>{SIZE_BYTES}</Size>"
            f"<LastModified>2026-01-31T08:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
            f"<StorageClass>{ARCHIVED[path]}</StorageClass>{status}</Contents>"
        )


ALL_RESTORED = {"stdout": "restored", "a_b": "restored", "old": "restored"}


# --- asking S3 -------------------------------------------------------------------------------


def test_what_is_archived_is_restored(scene: Scene, execution_id: str) -> None:
    scene.recorder.clear()
    result = scene.cli("restore", execution_id, "--yes", "--days", "3", "--json").ok()
    outcomes = {one["path"]: one["outcome"] for one in result.json_lines()}
    assert outcomes == {**dict.fromkeys(ARCHIVED, "requested"), READABLE: "not-archived"}
    assert scene.recorder.count("RestoreObject") == 3
    [body] = {call.request_body for call in scene.recorder.calls("RestoreObject")}
    assert b"<Days>3</Days>" in body
    assert b"<Tier>Bulk</Tier>" in body
    for path in ARCHIVED:
        assert 'ongoing-request="false"' in str(restore_header(scene, execution_id, path))


def test_it_says_first_how_much_how_long_and_what_price(scene: Scene, execution_id: str) -> None:
    bulk = scene.cli("restore", execution_id, "--yes").ok()
    assert bulk.out == ""
    assert re.search(
        r"^to restore: 3 files, 2\.9 KiB; bulk, readable for 7 days; within 48 hours; "
        r"less than \$0\.01 \(AWS prices in us-east-1, \d{4}-\d\d-\d\d\)$",
        bulk.err,
        re.MULTILINE,
    )
    assert "left alone: 1 file not archived" in bulk.err

    other = scene.put_execution(make_id(number=7))
    scene.put_file(other, "logs/stdout.log", b"", StorageClass="GLACIER")
    standard = scene.cli("restore", other, "--yes", "--tier", "standard", "--days", "1").ok()
    assert "1 file, 0 B; standard, readable for 1 day; within 5 hours" in standard.err


def test_the_price_is_the_sum(
    scene: Scene, execution_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 GiB each: 2 × 500 × (0.02 + 0.023 × 30/30) + 500 × (0.01 + 0.023 × 30/30)."""
    monkeypatch.setattr("tests.retention.test_restore.SIZE_BYTES", 500 * 1024**3)
    scene.recorder.inject(Listing(execution_id), "ListObjectsV2")
    result = scene.cli("restore", execution_id, "--tier", "standard", "--days", "30").expect(2)
    assert "3 files, 1.5 TiB; standard, readable for 30 days; within 12 hours" in result.err
    assert "about $59.50 (AWS prices" in result.err


def test_only_what_matches_is_restored(scene: Scene, execution_id: str) -> None:
    scene.cli("restore", execution_id, "stdout", "artifacts/custom/old*", "--yes").ok()
    keys = sorted(call.key.rpartition("/")[2] for call in scene.recorder.calls("RestoreObject"))
    assert keys == ["old.bin", "stdout.log"]
    result = scene.cli("restore", execution_id, "nothing", "--yes").expect(4)
    assert "no such file" in result.err


def test_an_archived_metadata_json_comes_along(scene: Scene) -> None:
    """As on a server that dropped the size filter."""
    execution_id = scene.put_execution()
    key = f"executions/{execution_id}/metadata.json"
    body = scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read()
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=body, StorageClass="DEEP_ARCHIVE")
    scene.cli("show", execution_id).expect(8)
    scene.cli("restore", execution_id, "--yes", "--wait").ok()
    scene.cli("show", execution_id).ok()


@pytest.mark.parametrize("name", ["@latest", "missing"])
def test_a_missing_execution_is_exit_4(scene: Scene, name: str) -> None:
    scene.cli("restore", name if name == "@latest" else make_id(), "--yes").expect(4)


# --- once and no more ------------------------------------------------------------------------


def test_repeating_asks_for_nothing(scene: Scene, execution_id: str) -> None:
    scene.cli("restore", execution_id, "--yes").ok()
    before = [restore_header(scene, execution_id, path) for path in ARCHIVED]
    scene.recorder.clear()
    result = scene.cli("restore", execution_id, "--days", "30").ok()
    assert "left alone: 3 files can be read already, 1 file not archived" in result.err
    assert scene.recorder.count("RestoreObject") == 0
    assert [restore_header(scene, execution_id, path) for path in ARCHIVED] == before


def test_what_is_under_way_is_left_alone(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(Listing(execution_id, stdout="ongoing", old="restored"), "ListObjectsV2")
    result = scene.cli("restore", execution_id, "--yes", "--json").ok()
    assert {one["path"]: one["outcome"] for one in result.json_lines()} == {
        "artifacts/custom/a b.bin": "requested",
        "artifacts/custom/old.bin": "restored",
        "logs/stdout.log": "ongoing",
    }
    assert scene.recorder.count("RestoreObject") == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(409, "RestoreAlreadyInProgress"), "ongoing"),
        (Answer(403, "InvalidObjectState"), "not-archived"),
    ],
    ids=lambda value: str(getattr(value, "code", value)),
)
def test_somebody_who_was_faster_is_no_failure(
    scene: Scene, execution_id: str, answer: Answer, outcome: str
) -> None:
    scene.recorder.inject(answer, "RestoreObject", key="stdout")
    result = scene.cli("restore", execution_id, "--yes", "--json").ok()
    outcomes = {one["path"]: one["outcome"] for one in result.json_lines()}
    assert outcomes["logs/stdout.log"] == outcome
    assert scene.recorder.count("RestoreObject") == 3


def test_a_passing_fault_is_tried_again(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(slow_down(), "RestoreObject")
    scene.recorder.inject(internal_error(), "RestoreObject", nth=2)
    scene.cli("restore", execution_id, "--yes").ok()


def test_a_file_that_fails_does_not_stop_the_others(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(Answer(400, "MalformedXML"), "RestoreObject", key="stdout")
    result = scene.cli("restore", execution_id, "--yes", "--json").expect(3)
    [failed] = [one for one in result.json_lines() if one["outcome"] == "failed"]
    assert failed["path"] == "logs/stdout.log"
    assert "MalformedXML" in failed["error"]
    assert "failed: logs/stdout.log: " in result.err
    assert restore_header(scene, execution_id, "artifacts/custom/old.bin")
    scene.cli("restore", execution_id, "--yes").ok()


def test_a_server_without_restore_says_so(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(Answer(501, "NotImplemented", "Not here."), "RestoreObject", times=None)
    result = scene.cli("restore", execution_id, "--yes").expect(3)
    assert "the restore of 3 of 4 files could not be requested" in result.err
    assert result.err.count("NotImplemented") == 3


def test_access_denied_is_exit_5(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(access_denied(), "RestoreObject", times=None)
    assert "restore of " in scene.cli("restore", execution_id, "--yes").expect(5).err


def test_many_are_asked_for_at_once(scene: Scene) -> None:
    execution_id = scene.put_execution()
    for number in range(40):
        path = f"artifacts/custom/{number}.bin"
        scene.put_file(execution_id, path, b"x", StorageClass="DEEP_ARCHIVE")
    scene.recorder.clear()
    scene.cli("restore", execution_id, "--yes", "--concurrency", "8").ok()
    assert scene.recorder.count("RestoreObject") == 40
    scene.recorder.clear()
    assert "40 files can be read already" in scene.cli("restore", execution_id).ok().err


# --- asking the user -------------------------------------------------------------------------


def test_without_a_terminal_it_needs_yes(scene: Scene, execution_id: str) -> None:
    result = scene.cli("restore", execution_id).expect(2)
    assert "to restore: 3 files" in result.err
    assert "hint: --yes does it without asking" in result.err
    assert scene.recorder.count("RestoreObject") == 0


def test_on_a_terminal_it_asks(
    scene: Scene, execution_id: str, terminal: Callable[..., Terminal]
) -> None:
    asked = terminal("restore", execution_id, "stdout", columns=160)
    asked.read_until(rb"to restore: 1 file[^\n]*\n(.*\n)*.*Restore them\? \[y/N\]: ")
    asked.send(b"n\n")
    assert asked.wait() == 130
    assert restore_header(scene, execution_id, "logs/stdout.log") is None

    asked = terminal("restore", execution_id, "stdout", columns=160)
    asked.read_until(rb"\[y/N\]: ")
    asked.send(b"y\n")
    assert asked.wait() == 0
    assert restore_header(scene, execution_id, "logs/stdout.log") is not None


# --- waiting ---------------------------------------------------------------------------------


def test_waiting_goes_by_the_listing_and_not_by_a_look_at_each(
    scene: Scene, execution_id: str
) -> None:
    ongoing = dict.fromkeys(ALL_RESTORED, "ongoing")
    scene.recorder.inject(Listing(execution_id, **ongoing), "ListObjectsV2", times=2)
    scene.recorder.inject(Listing(execution_id, **ALL_RESTORED), "ListObjectsV2", nth=3, times=None)
    scene.recorder.clear()
    result = scene.cli("restore", execution_id, "--wait", "--json").ok()
    assert {one["outcome"] for one in result.json_lines()} == {"restored"}
    assert {one["expires_at"] for one in result.json_lines()} == {"2030-01-31T00:00:00Z"}
    assert scene.recorder.count("ListObjectsV2") == 3
    assert scene.recorder.count("HeadObject") == 0
    for listing in scene.recorder.calls("ListObjectsV2"):
        assert listing.request.headers["x-amz-optional-object-attributes"] == "RestoreStatus"


def test_where_the_listing_does_not_tell_each_is_looked_at(scene: Scene, execution_id: str) -> None:
    scene.recorder.clear()
    result = scene.cli("restore", execution_id, "--yes", "--wait", "--json").ok()
    outcomes = {one["path"]: one["outcome"] for one in result.json_lines()}
    assert outcomes == {**dict.fromkeys(ARCHIVED, "restored"), READABLE: "not-archived"}
    assert scene.recorder.count("HeadObject") == 2 * len(ARCHIVED)


def test_after_the_timeout_it_is_exit_8_and_goes_on(scene: Scene, execution_id: str) -> None:
    states = {**ALL_RESTORED, "stdout": "ongoing"}
    scene.recorder.inject(Listing(execution_id, **states), "ListObjectsV2", times=None)
    result = scene.cli("restore", execution_id, "--wait", "--timeout", "1ms", "--json").expect(8)
    assert f"1 file of {execution_id} is not restored yet" in result.err
    assert "the restore goes on" in result.err
    outcomes = sorted(one["outcome"] for one in result.json_lines())
    assert outcomes == ["ongoing", "restored", "restored"]


def test_a_file_deleted_meanwhile_is_not_waited_for(scene: Scene, execution_id: str) -> None:
    ongoing = Listing(execution_id, **dict.fromkeys(ALL_RESTORED, "ongoing"))
    scene.recorder.inject(ongoing, "ListObjectsV2")
    for path in ARCHIVED:
        scene.s3.delete_object(Bucket=scene.bucket, Key=f"executions/{execution_id}/{path}")
    result = scene.cli("restore", execution_id, "--wait").expect(3)
    assert result.err.count("was deleted meanwhile") == 3


def test_timeout_goes_with_wait(cli: RunCommand) -> None:
    cli("restore", make_id(), "--timeout", "1h").expect(2)


# --- what the others say ---------------------------------------------------------------------

SENTENCE = re.compile(
    r"logs/stdout\.log is archived in DEEP_ARCHIVE \(stored \d{4}-\d\d-\d\d\); to restore it takes "
    r"up to 48 h and less than \$0\.01 \(bulk\), up to 12 h and less than \$0\.01 \(standard\)"
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("logs", "ID"),
        ("logs", "ID", "--tail", "3"),
        ("logs", "ID", "stdout", "--grep", "x"),
        ("url", "ID", "stdout"),
        ("download", "ID", "stdout"),
    ],
    ids=" ".join,
)
def test_an_archived_file_is_exit_8_with_one_sentence(
    cli: RunCommand, execution_id: str, arguments: tuple[str, ...]
) -> None:
    line = [execution_id if word == "ID" else word for word in arguments]
    result = cli(*line).expect(8)
    assert result.out == ""
    assert len(SENTENCE.findall(result.err)) == 1
    assert f"hint: `orchestrator restore {execution_id} logs/stdout.log`" in result.err
    assert list(Path().rglob("*.log")) == []

    cli("restore", execution_id, "stdout", "--yes", "--wait").ok()
    cli(*line).ok()


def test_it_says_since_when_where_the_rules_tell(scene: Scene, execution_id: str) -> None:
    move = {"Days": 0, "StorageClass": "DEEP_ARCHIVE"}
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Transitions": [move]}
    put_rules(scene.s3, scene.bucket, rule)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    result = scene.cli("url", execution_id, "stdout").expect(8)
    assert f"archived in DEEP_ARCHIVE since {tomorrow:%Y-%m-%d}; to restore" in result.err


def test_rules_that_may_not_be_read_are_no_matter(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(access_denied(), "GetBucketLifecycleConfiguration")
    assert SENTENCE.search(scene.cli("url", execution_id, "stdout").expect(8).err)


def test_a_restore_under_way_is_told(scene: Scene, execution_id: str) -> None:
    scene.recorder.inject(_Ongoing(), "HeadObject")
    scene.recorder.inject(Listing(execution_id, stdout="ongoing"), "ListObjectsV2")
    result = scene.cli("url", execution_id, "stdout").expect(8)
    assert "; its restore is under way" in result.err
    assert f"`orchestrator restore {execution_id} logs/stdout.log --wait` waits" in result.err


class _Ongoing(Fault):
    """An object whose restore is under way."""

    def request_head(self, waiting: Waiting) -> None:
        headers = {
            "ETag": f'"{"0" * 32}"',
            "Last-Modified": "Sat, 31 Jan 2026 08:00:00 GMT",
            "x-amz-storage-class": "DEEP_ARCHIVE",
            "x-amz-restore": 'ongoing-request="true"',
        }
        raise Answered(200, b"", headers)


def test_a_name_is_quoted_for_the_shell(cli: RunCommand, execution_id: str) -> None:
    result = cli("url", execution_id, "artifacts/custom/a b.bin").expect(8)
    assert f"`orchestrator restore {execution_id} 'artifacts/custom/a b.bin'`" in result.err


def test_every_file_of_a_download_is_told_of_once(scene: Scene, execution_id: str) -> None:
    result = scene.cli("download", execution_id).expect(8)
    assert result.err.count("failed: ") == 3
    assert result.err.count(" is archived in ") == 3
    assert (Path(execution_id) / READABLE).read_bytes() == b"{}"
    assert scene.recorder.count("GetBucketLifecycleConfiguration") == 1


def test_ls_shows_class_and_restore(scene: Scene, execution_id: str) -> None:
    def shown() -> list[str]:
        return [line.partition("  [")[2] for line in scene.cli("ls", execution_id).ok().lines]

    assert shown() == ["DEEP_ARCHIVE]", "GLACIER]", "", "DEEP_ARCHIVE]"]
    scene.cli("restore", execution_id, "stdout", "--yes").ok()
    assert re.fullmatch(
        r"DEEP_ARCHIVE, readable until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ]", shown()[3]
    )

    states: dict[str, Any] = {}
    scene.recorder.inject(Listing(execution_id, stdout="ongoing", old="restored"), "ListObjectsV2")
    for line in scene.cli("ls", execution_id, "--json").ok().json_lines():
        states[line["path"]] = line["restore"]
    assert states == {
        "artifacts/custom/a b.bin": None,
        "artifacts/custom/old.bin": {"ongoing": False, "expires_at": "2030-01-31T00:00:00Z"},
        "logs/stdout.log": {"ongoing": True, "expires_at": None},
    }
