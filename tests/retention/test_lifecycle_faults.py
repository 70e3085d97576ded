"""Servers that reject, alter or forget lifecycle rules: nothing of what was there is ever lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
from orchestrator_cli.core.retention.lifecycle.configuration import plan_changes
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from tests.support.commands.running import Processes
from tests.support.proxy.faults import (
    Answer,
    Answered,
    DropAnswer,
    Fault,
    Hold,
    Waiting,
    access_denied,
    internal_error,
)
from tests.support.scene import Scene
from tests.support.stored.lifecycles import (
    GET,
    OWNED,
    PUT,
    Altered,
    Answers,
    foreign_rule,
    put_rules,
    read_rules,
    rule_ids,
)

BEFORE = [foreign_rule("a"), foreign_rule("b", "other/", Expiration={"Days": 3650})]
REFUSALS = [
    Answer(400, "MalformedXML", "The XML you provided was not well-formed."),
    Answer(400, "InvalidRequest", "Found overlapping prefixes."),
    Answer(400, "InvalidStorageClass", "There is no such tier."),
    Answer(501, "NotImplemented", "Not here."),
]


@pytest.fixture(params=["none", "foreign"])
def before(scene: Scene, request: pytest.FixtureRequest) -> list[Any]:
    """What the bucket has before: no rules, or those of others."""
    if request.param == "none":
        return []
    put_rules(scene.s3, scene.bucket, *BEFORE)
    return BEFORE


# --- rejected --------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
def test_a_refusal_is_one_clear_error_and_changes_nothing(
    scene: Scene, before: list[Any], refusal: Answer
) -> None:
    scene.recorder.inject(refusal, PUT)
    result = scene.cli("--quiet", "lifecycle", "apply", "--yes").expect(1)
    error, hint = result.err.splitlines()
    assert error.startswith(f"error: change of the lifecycle rules of s3://{scene.bucket}: ")
    assert refusal.code in error
    assert refusal.message in error
    assert "FAULT0000000001" in error
    assert hint == "hint: nothing was changed"
    assert scene.recorder.count(PUT) == 1
    assert read_rules(scene.s3, scene.bucket) == before


def test_access_denied_is_exit_5(scene: Scene, before: list[Any]) -> None:
    scene.recorder.inject(access_denied(), PUT)
    result = scene.cli("--quiet", "lifecycle", "apply", "--yes").expect(5)
    assert "nothing was changed" in result.err
    scene.recorder.inject(access_denied(), GET)
    scene.cli("lifecycle", "plan").expect(5)
    assert read_rules(scene.s3, scene.bucket) == before


def test_a_lost_answer_is_no_failure(scene: Scene, before: list[Any]) -> None:
    scene.recorder.inject(DropAnswer(), PUT)
    scene.cli("lifecycle", "apply", "--yes").ok()
    assert rule_ids(scene.s3, scene.bucket) == [*(rule["ID"] for rule in before), *OWNED]


def test_what_the_server_did_counts_more_than_its_answer(scene: Scene) -> None:
    scene.recorder.inject(Answer(400, "MalformedXML", forward=True), PUT)
    scene.cli("lifecycle", "apply", "--yes").ok()
    assert rule_ids(scene.s3, scene.bucket) == OWNED


def test_a_passing_fault_is_tried_again(scene: Scene) -> None:
    scene.recorder.inject(internal_error(), PUT)
    scene.recorder.inject(internal_error(), GET, nth=2)
    scene.cli("lifecycle", "apply", "--yes").ok()
    assert rule_ids(scene.s3, scene.bucket) == OWNED


# --- altered ---------------------------------------------------------------------------------

ALTERATIONS = [
    (b"<Days>90</Days>", b"<Days>91</Days>", "orchestrator-archive"),
    (b"<Days>180</Days>", b"<Days>190</Days>", "orchestrator-history"),
    (b"<Days>3650</Days>", b"<Days>3651</Days>", "b: kept as"),
    (b"<Prefix>live/</Prefix>", b"<Prefix>dead/</Prefix>", "orchestrator-live"),
    (b"DEEP_ARCHIVE", b"GLACIER     ", "orchestrator-archive"),
]


@pytest.mark.parametrize(("sent", "kept", "named"), ALTERATIONS, ids=lambda value: str(value)[:20])
def test_where_the_server_keeps_something_else_the_previous_rules_are_put_back(
    scene: Scene, sent: bytes, kept: bytes, named: str
) -> None:
    put_rules(scene.s3, scene.bucket, *BEFORE)
    scene.recorder.inject(Altered(sent, kept), PUT)
    result = scene.cli("--quiet", "lifecycle", "apply", "--yes").expect(6)
    error, hint = result.err.splitlines()
    assert "the server does not keep the rules it was sent" in error
    assert named in error
    assert hint == "hint: the previous rules were put back"
    assert read_rules(scene.s3, scene.bucket) == BEFORE
    assert scene.recorder.count(PUT) == 2


def test_without_rules_before_none_are_left_behind(scene: Scene) -> None:
    scene.recorder.inject(Altered(b"<Days>90</Days>", b"<Days>91</Days>"), PUT)
    scene.cli("lifecycle", "apply", "--yes").expect(6)
    assert read_rules(scene.s3, scene.bucket) == []


def test_a_server_that_does_nothing_is_found_out(scene: Scene, before: list[Any]) -> None:
    scene.recorder.inject(_Forgets(), PUT)
    result = scene.cli("lifecycle", "apply", "--yes").expect(6)
    assert "orchestrator-archive: is missing" in result.err
    assert "hint: nothing was changed" in result.err
    assert read_rules(scene.s3, scene.bucket) == before


# --- lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operation", "nth"),
    [
        (Answer(400, "MalformedXML"), PUT, 2),
        (Altered(b"<Days>3650</Days>", b"<Days>3651</Days>"), PUT, 2),
        (access_denied(), GET, 3),
        (access_denied(), GET, 4),
    ],
    ids=["refused", "altered", "unreadable-after", "unreadable-at-the-end"],
)
def test_rules_that_may_be_lost_are_printed_whole(
    scene: Scene, fault: Fault, operation: str, nth: int
) -> None:
    put_rules(scene.s3, scene.bucket, *BEFORE)
    scene.recorder.inject(Altered(b"<Days>90</Days>", b"<Days>91</Days>"), PUT)
    scene.recorder.inject(fault, operation, nth=nth)
    result = scene.cli("--quiet", "lifecycle", "apply", "--yes")
    assert result.exit_code in (5, 6)
    warning, error, hint = result.err.splitlines()
    assert warning.startswith("warning: the previous rules, to put back by hand: {")
    assert json.loads(warning.partition("hand: ")[2])["rules"] == BEFORE
    assert error.startswith("error: ")
    assert hint == "hint: the previous rules may be lost: they are printed above"


def test_a_rule_with_a_part_that_would_be_lost_is_not_touched(scene: Scene) -> None:
    put_rules(scene.s3, scene.bucket, *BEFORE)
    future = (
        b"<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status>"
        b"<Filter><ArchiveZone/></Filter></Rule></LifecycleConfiguration>"
    )
    scene.recorder.inject(Answers(future), GET, times=None)
    result = scene.cli("lifecycle", "apply", "--yes").expect(1)
    assert "use ArchiveZone, which this version would lose" in result.err
    assert scene.recorder.count(PUT) == 0
    assert read_rules(scene.s3, scene.bucket) == BEFORE


def test_somebody_elses_change_meanwhile_is_a_conflict(
    scene: Scene, cli_process: Processes
) -> None:
    put_rules(scene.s3, scene.bucket, *BEFORE)
    hold = Hold("head")
    scene.recorder.inject(hold, GET, nth=2)
    process = cli_process.start("lifecycle", "apply", "--yes")
    assert hold.reached.wait(60)
    put_rules(scene.s3, scene.bucket, *BEFORE, foreign_rule("newer", "newer/"))
    hold.released.set()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 6
    assert b"have changed meanwhile" in error
    assert rule_ids(scene.s3, scene.bucket) == ["a", "b", "newer"]


def test_the_default_minimum_of_a_bucket_is_sent_again(scene: Scene) -> None:
    """It decides about rules of others; leaving it out would set it back."""
    put_rules(scene.s3, scene.bucket, foreign_rule())
    scene.recorder.inject(_VariesByClass(), GET, times=2)
    result = scene.cli("lifecycle", "apply", "--yes").expect(6)
    # The sandbox's server cannot keep it, and that is noticed.
    assert "the default minimum size: kept as all_storage_classes_128K" in result.err
    name = "x-amz-transition-default-minimum-object-size"
    sent = [call.request.headers[name] for call in scene.recorder.calls(PUT)]
    assert sent == ["varies_by_storage_class"] * 2


class _Forgets(Fault):
    """A server that says yes and does nothing."""

    def request_head(self, waiting: Waiting) -> None:
        raise Answered(200, b"", {})


class _VariesByClass(Fault):
    """A bucket with one rule that was told to move small objects too."""

    def request_head(self, waiting: Waiting) -> None:
        body = (
            b"<LifecycleConfiguration><Rule><ID>theirs</ID><Status>Enabled</Status><Filter>"
            b"<Prefix>builds/</Prefix></Filter><Expiration><Days>30</Days></Expiration></Rule>"
            b"</LifecycleConfiguration>"
        )
        header = {"x-amz-transition-default-minimum-object-size": "varies_by_storage_class"}
        raise Answered(200, body, header)


# --- an answer that is some seconds old, as AWS may give -------------------------------------


class _SlowBucket:
    """A bucket on AWS that goes on answering with what it had, so many times; it never sleeps."""

    def __init__(self, stale: int) -> None:
        self.bucket = "b"
        self.session: Any = self
        self.boto: Any = self
        self.meta: Any = self
        self.events: Any = self
        self.method_to_api_mapping = {"get_bucket_lifecycle_configuration": GET}
        self.retry: Any = self
        self.stop: Any = self
        self.is_aws = True
        self.waited: list[float] = []
        self._stale = stale
        self._had: list[Any] = [BEFORE[0]]
        self._has: list[Any] = self._had

    def register(self, *_: object) -> None: ...

    def unregister(self, *_: object) -> None: ...

    def check_stopped(self) -> None: ...

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def call(self, request: Any, what: str) -> Any:
        return request()

    def get_bucket_lifecycle_configuration(self, **_: object) -> Any:
        fresh = self._has is self._had or self._stale <= 0
        self._stale -= self._has is not self._had
        minimum = "all_storage_classes_128K"
        rules = self._has if fresh else self._had
        return {"Rules": rules, "TransitionDefaultMinimumObjectSize": minimum}

    def put_bucket_lifecycle_configuration(self, **given: Any) -> None:
        self._has = given["LifecycleConfiguration"]["Rules"]


@pytest.mark.parametrize(("stale", "waits"), [(0, []), (1, [0.5]), (3, [0.5, 1, 2])])
def test_an_old_answer_is_waited_out(stale: int, waits: list[float]) -> None:
    slow: Any = _SlowBucket(stale)
    lifecycle = BucketLifecycle(slow)
    plan = plan_changes(lifecycle.read(), plan_rules(RetentionPolicy()))
    assert lifecycle.apply(plan, True, lambda lost: pytest.fail(str(lost))) == ()
    assert sorted(lifecycle.read().by_id()) == ["a", *OWNED]
    assert slow.waited == waits


# --- answers that botocore breaks over -------------------------------------------------------


# Each is ten of the one before: a document of 500 bytes that would be a GiB.
LAUGHS = '<!ENTITY e0 "x">' + "".join(
    f'<!ENTITY e{n} "{10 * f"&e{n - 1};"}">' for n in range(1, 10)
)


class _Malformed(Fault):
    def __init__(self, status: int, body: str) -> None:
        self.status = status
        self.body = body

    def request_head(self, waiting: Waiting) -> None:
        raise Answered(self.status, self.body.encode(), {})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<LifecycleConfiguration><Rule><Expiration><Days>x</Days></Expiration></Rule>"),
        (200, "<LifecycleConfiguration><Rule><Expiration><Date>x</Date></Expiration></Rule>"),
        (200, "<LifecycleConfiguration>" + 200_000 * "<Rule>" + 200_000 * "</Rule>"),
        (200, f"<!DOCTYPE x [{LAUGHS}]><LifecycleConfiguration><Rule>&e9;</Rule>"),
        (400, "<Error><Code><Code/></Code></Error>"),
    ],
    ids=["days", "date", "deep", "entities", "code"],
)
def test_an_answer_that_no_s3_sends_is_not_s3(scene: Scene, status: int, body: str) -> None:
    end = "</LifecycleConfiguration>" if status == 200 else ""
    scene.recorder.inject(_Malformed(status, body + end), GET, times=None)
    result = scene.cli("--patience", "0s", "lifecycle", "show").expect(9)
    assert "what answered is not S3" in result.err
