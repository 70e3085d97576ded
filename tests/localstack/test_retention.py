"""Retention on a server that keeps the whole of a rule, and archives and restores as AWS does."""

from __future__ import annotations

import pytest

from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from tests.support.scene import Scene
from tests.support.stored.lifecycles import (
    PUT,
    Altered,
    foreign_rule,
    put_rules,
    read_rules,
    rule_ids,
)

pytestmark = pytest.mark.localstack

DEFAULT_RULES = list(plan_rules(RetentionPolicy()))


def test_everything_of_the_rules_is_kept(scene: Scene) -> None:
    result = scene.cli("lifecycle", "apply", "--yes", "--strict").ok()
    assert "warning" not in result.err
    assert read_rules(scene.s3, scene.bucket) == DEFAULT_RULES
    answer = scene.s3.get_bucket_lifecycle_configuration(Bucket=scene.bucket)
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"

    scene.recorder.clear()
    assert "nothing to change" in scene.cli("lifecycle", "apply", "--strict").ok().err
    scene.cli("lifecycle", "apply", "--check", "--strict").ok()
    assert scene.recorder.count(PUT) == 0


def test_rules_of_others_and_the_buckets_own_minimum_stay(scene: Scene) -> None:
    theirs = [
        foreign_rule("a", Filter={"Tag": {"Key": "k", "Value": "v"}}, Expiration={"Days": 9}),
        foreign_rule(
            "b",
            Filter={"And": {"Prefix": "p/", "ObjectSizeLessThan": 77, "ObjectSizeGreaterThan": 5}},
            NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 4},
        ),
    ]
    put_rules(
        scene.s3,
        scene.bucket,
        *theirs,
        TransitionDefaultMinimumObjectSize="varies_by_storage_class",
    )
    scene.cli("lifecycle", "apply", "--yes").ok()
    assert read_rules(scene.s3, scene.bucket) == theirs + DEFAULT_RULES
    answer = scene.s3.get_bucket_lifecycle_configuration(Bucket=scene.bucket)
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"<Days>90</Days>", b"<Days>91</Days>"),
        (b"<ObjectSizeGreaterThan>131072<", b"<ObjectSizeGreaterThan>131073<"),
        (b"<ID>theirs</ID>", b"<ID>others</ID>"),
    ],
)
def test_what_was_altered_is_put_back(scene: Scene, sent: bytes, kept: bytes) -> None:
    put_rules(scene.s3, scene.bucket, foreign_rule())
    scene.recorder.inject(Altered(sent, kept), PUT)
    result = scene.cli("lifecycle", "apply", "--yes").expect(6)
    assert "the previous rules were put back" in result.err
    assert rule_ids(scene.s3, scene.bucket) == ["theirs"]


def test_what_is_archived_can_be_read_once_restored(scene: Scene, execution_id: str) -> None:
    scene.put_file(execution_id, "logs/stdout.log", b"log\n", StorageClass="DEEP_ARCHIVE")
    scene.put_file(execution_id, "artifacts/custom/x.bin", b"x", StorageClass="GLACIER")
    for command in ("logs", "url", "download"):
        assert "is archived in " in scene.cli(command, execution_id).expect(8).err
    restored = scene.cli("restore", execution_id, "--yes", "--wait", "--json").ok().json_lines()
    assert {one["outcome"] for one in restored} == {"restored"}
    assert all(one["expires_at"] for one in restored)
    assert scene.cli("logs", execution_id).ok().stdout == b"log\n"
    scene.cli("url", execution_id).ok()
    scene.cli("download", execution_id).ok()
    assert "2 files can be read already" in scene.cli("restore", execution_id, "--wait").ok().err
