"""`doctor` says what the tool will meet, names what was refused, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.proxy import faults, quirks
from tests.support.proxy.connection import Connection
from tests.support.proxy.operations import Request
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import PART, content, impatient
from tests.support.stored.lifecycles import put_rules

# What the server behind the proxy, moto, does not give.
MOTO_LACKS = {
    "SHA-256 verified on arrival",
    "Content-MD5 verified on arrival",
    "part checksums listed",
    "signatures verified",
}
NOT_IMPLEMENTED = (
    b"<Error><Code>NotImplemented</Code><Message>A header you provided implies "
    b"functionality that is not implemented</Message></Error>"
)


def verdicts(found: Any) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in found["checks"]}


def names(found: Any, verdict: str) -> set[str]:
    return {name for name, given in verdicts(found).items() if given == verdict}


def detail(found: Any, name: str) -> str:
    (check,) = [check for check in found["checks"] if check["name"] == name]
    return str(check["detail"])


# --- servers that give less ------------------------------------------------------------------

LESSER_LACK = {*MOTO_LACKS, "checksum of multipart objects", "create-only complete"}
DEGRADED = {
    "ceph": LESSER_LACK,
    "ceph-versioned": LESSER_LACK | {"create-only put", "compare-and-swap"},
    "rclone": LESSER_LACK | {"create-only put", "compare-and-swap", "presigned range"},
}


@pytest.mark.parametrize("server", quirks.SERVERS)
def test_it_tells_what_a_server_lacks(scene: Scene, server: str) -> None:
    quirks.pretend(scene.recorder, quirks.SERVERS[server])
    result = scene.cli("doctor", "--json").expect(3)
    found = result.json()
    assert found["guaranteed"] is False
    assert names(found, "degraded") == DEGRADED[server]
    assert not names(found, "does-not-work")
    assert all(name in result.err for name in DEGRADED[server])
    assert scene.contents() == {}
    assert scene.unfinished_uploads() == {}


class ImplementsNoCondition(quirks.Quirk):
    """A request with `If-None-Match` is answered with 501."""

    def request(self, request: Request, connection: Connection) -> None:
        if request.headers.get("if-none-match"):
            raise faults.Answered(501, NOT_IMPLEMENTED, {})


def test_it_looks_first_where_no_condition_is_implemented(scene: Scene) -> None:
    quirks.pretend(scene.recorder, quirks.Server(ImplementsNoCondition()))
    found = scene.cli("doctor", "--json").expect(3).json()
    assert names(found, "degraded") == MOTO_LACKS | {"create-only put", "create-only complete"}
    assert "look first (HEAD)" in detail(found, "create-only put")
    execution_id = scene.cli("new").ok().out.strip()
    small, large = scene.directory / "small.txt", scene.directory / "large.bin"
    small.write_text("one")
    large.write_bytes(content(PART + 5))
    for _ in range(2):
        scene.cli("upload", execution_id, small, large).ok()
    small.write_text("two")
    large.write_bytes(content(PART + 5, seed=1))
    scene.cli("upload", execution_id, small).expect(6)
    scene.cli("upload", execution_id, large).expect(6)


@pytest.mark.parametrize("code", ["NotImplemented", ""])
def test_a_server_that_lists_no_uploads_begins_them_anew(scene: Scene, code: str) -> None:
    scene.recorder.inject(faults.Answer(501, code, ""), "ListMultipartUploads", times=None)
    found = scene.cli("doctor", "--json").expect(3).json()
    assert names(found, "degraded") == MOTO_LACKS | {"unfinished uploads listed"}
    assert "begins anew" in detail(found, "unfinished uploads listed")
    (scene.directory / "large.bin").write_bytes(content(PART + 5))
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli("upload", execution_id, scene.directory / "large.bin").ok()


class TakesNoChecksum(quirks.KeepsNoChecksums):
    """The end of an upload must not name checksums that the server has never given."""

    def request_end(self, request: Request, connection: Connection) -> None:
        body = connection.exchange.request_body
        if request.operation == "CompleteMultipartUpload" and b"Checksum" in body:
            raise faults.Answered(400, b"<Error><Code>MalformedXML</Code></Error>", {})


def test_no_checksum_is_named_to_a_server_that_gave_none(scene: Scene) -> None:
    quirks.pretend(scene.recorder, quirks.Server(TakesNoChecksum()))
    found = scene.cli("doctor", "--json").expect(3).json()
    assert not names(found, "does-not-work")
    (scene.directory / "large.bin").write_bytes(content(PART + 5))
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli("upload", execution_id, scene.directory / "large.bin").ok()
    scene.cli("upload", execution_id, "-", "--name", "stdout.log", stdin=content(PART + 5)).ok()


@dataclass
class AnswersAListing(quirks.Quirk):
    """Sub-resources of a bucket are not known: what is answered is a listing."""

    def reply(self, request: Request, reply: quirks.Reply, connection: Connection) -> None:
        if request.operation.startswith("GetBucket"):
            listing = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            reply.status = 200
            reply.body = (
                listing + b"<Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
            )


def test_a_listing_is_not_taken_for_settings(scene: Scene) -> None:
    quirks.pretend(scene.recorder, quirks.Server(AnswersAListing()))
    found = scene.cli("doctor", "--json").expect(3).json()
    for name in ("lifecycle", "versioning", "encryption"):
        assert detail(found, name) == "this server has none"


def test_rules_that_would_archive_the_metadata_are_told(scene: Scene) -> None:
    moves = [{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}]
    put_rules(
        scene.s3,
        scene.bucket,
        {"ID": "all", "Status": "Enabled", "Filter": {}, "Transitions": moves},
    )
    result = scene.cli("doctor", "--json").expect(9)
    assert names(result.json(), "does-not-work") == {"lifecycle"}
    assert "all would archive metadata.json" in detail(result.json(), "lifecycle")


# --- what does not work ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 308, 400])
def test_a_failure_is_no_lesser_guarantee(scene: Scene, status: int) -> None:
    scene.recorder.inject(faults.Answer(status, "Odd"), "CompleteMultipartUpload", times=None)
    result = scene.cli("doctor", "--json").expect(9)
    broken = {"create-only complete", "checksum of multipart objects"}
    assert names(result.json(), "does-not-work") == broken
    assert "does not work here: create-only complete" in result.err
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize(
    ("operation", "exit_code", "told"),
    [
        ("DeleteObject", 0, "and only doctor needs it"),
        ("ListParts", 3, "only interrupted uploads of large files cannot be resumed"),
        ("AbortMultipartUpload", 3, "all commands work"),
    ],
)
def test_what_little_depends_on_is_told_as_little(
    scene: Scene, operation: str, exit_code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    scene.recorder.inject(faults.internal_error(), operation, times=None)
    result = scene.cli("doctor", "--json")
    assert result.exit_code == exit_code
    assert names(result.json(), "does-not-work") == names(result.json(), "denied") == set()
    assert [check for check in result.json()["checks"] if told in check["detail"]]
    assert "does not work here" not in result.err


@pytest.mark.parametrize("status", [301, 308])
def test_nothing_else_is_tried_where_listing_fails(scene: Scene, status: int) -> None:
    scene.recorder.inject(faults.Answer(status, "Odd"), times=None)
    found = scene.cli("doctor", "--json").expect(9).json()
    assert verdicts(found) == {"credentials": "ok", "list objects": "does-not-work"}


# --- permissions -----------------------------------------------------------------------------


def test_it_asks_for_no_policy_where_the_credentials_are_wrong(scene: Scene) -> None:
    scene.recorder.inject(faults.wrong_credentials(), times=None)
    result = scene.cli("doctor", "--json").expect(5)
    assert result.json()["missing_actions"] == []
    assert "S3 does not know the access key" in result.err


def deny(recorder: Proxy, *operations: str, key: str | None = None) -> None:
    for operation in operations:
        recorder.inject(faults.access_denied(), operation, key=key, times=None)


ACTIONS = {
    "s3:ListBucket": ("ListObjectsV2",),
    "s3:GetObject": ("GetObject", "HeadObject"),
    "s3:PutObject": (
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
    ),
    "s3:AbortMultipartUpload": ("AbortMultipartUpload",),
    "s3:ListBucketMultipartUploads": ("ListMultipartUploads",),
    "s3:ListMultipartUploadParts": ("ListParts",),
}


@pytest.mark.parametrize("deleting", [True, False], ids=["deleting", "not-deleting"])
@pytest.mark.parametrize("action", ACTIONS)
def test_it_names_the_action_that_was_refused_and_no_other(
    scene: Scene, action: str, deleting: bool
) -> None:
    deny(scene.recorder, *ACTIONS[action])
    if not deleting:
        deny(scene.recorder, "DeleteObject")
    result = scene.cli("doctor", "--json").expect(5)
    assert result.json()["missing_actions"] == [action]
    assert f"access is missing: {action}" in result.err
    assert scene.contents() == {}
    assert scene.unfinished_uploads() == {}


def test_nothing_is_stored_where_it_could_not_be_removed(scene: Scene) -> None:
    deny(scene.recorder, "DeleteObject")
    result = scene.cli("doctor", "--json").ok()
    assert scene.contents() == {}
    assert "PutObject" not in {call.operation for call in scene.recorder.calls()}
    assert result.json()["guaranteed"] is False
    assert {"create-only put", "compare-and-swap"} <= names(result.json(), "skipped")
    assert "not tried" in result.err


@pytest.mark.parametrize("prefix", ["live/", "derived/", "history/"])
def test_it_tries_each_part_of_the_bucket(scene: Scene, prefix: str) -> None:
    deny(scene.recorder, *ACTIONS["s3:PutObject"], key=f"^{prefix}")
    assert f"s3:PutObject on {prefix}*" in scene.cli("doctor").expect(5).err


class WantsAPrecondition(quirks.Quirk):
    """The bucket policy of the README: what makes an object has to say on which condition."""

    def request(self, request: Request, connection: Connection) -> None:
        makes = request.operation in ("PutObject", "CompleteMultipartUpload")
        if makes and not {"if-none-match", "if-match"} & request.headers.keys():
            raise faults.Answered(403, b"<Error><Code>AccessDenied</Code></Error>", {})


def test_a_policy_that_asks_for_conditions_misses_nothing(scene: Scene) -> None:
    quirks.pretend(scene.recorder, quirks.Server(WantsAPrecondition()))
    found = scene.cli("doctor", "--json").expect(3).json()
    assert found["missing_actions"] == []
    assert names(found, "degraded") == MOTO_LACKS


# --- output ----------------------------------------------------------------------------------


def test_the_verdict_comes_after_the_table_in_one_pipe(bucket: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "orchestrator_cli", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert told.returncode == 3
    first, *_, last, hint = told.stdout.splitlines()
    assert first.startswith("credentials")
    assert last.startswith("error: this server gives less")
    assert hint.startswith("hint: ")


def test_it_leaves_no_versions(scene: Scene) -> None:
    scene.s3.put_bucket_versioning(
        Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    scene.cli("doctor").expect(3)
    left = scene.s3.list_object_versions(Bucket=scene.bucket)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


class _Dated(faults.Fault):
    def __init__(self, date: str) -> None:
        self.date = date

    def request_head(self, waiting: faults.Waiting) -> None:
        listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        raise faults.Answered(200, listing, {"Date": self.date})


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("x", "the server does not say its time"),
        ("Thu, 01 Jan 99999 00:00:00 GMT", "the server does not say its time"),
        ("Thu, 01 Jan 1970 00:00:00", "s away from the server's"),
    ],
)
def test_a_date_that_no_server_sends_is_no_clock(scene: Scene, date: str, told: str) -> None:
    scene.recorder.inject(_Dated(date), "ListObjectsV2", times=None)
    assert told in detail(scene.cli("doctor", "--json").json(), "clock")
