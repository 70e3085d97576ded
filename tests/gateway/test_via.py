"""`upload --via`: the same upload through a server, from a machine that has a token and no key."""

from __future__ import annotations

import shutil
import signal
import socket
from typing import Any

import pytest

from orchestrator_cli.core.executions.keys import metadata_key
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.serving import Serve
from tests.support.commands.via import Tokens, Via, make_via, via_environment
from tests.support.proxy import faults, quirks
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.scene import Scene
from tests.support.stored.engine import PART, answered, content, impatient, key_of
from tests.support.stored.executions import make_id

LARGE = content(PART + 9)
BIG = content(3 * PART + 9)


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.new_execution()


def stored(scene: Scene, execution: str) -> dict[str, tuple[Any, ...]]:
    """Return what S3 says of each file by its path."""
    found = {}
    for key, data in scene.contents(f"executions/{execution}/").items():
        head = scene.s3.head_object(Bucket=scene.bucket, Key=key)
        path = key.split("/", 2)[2]
        if path != "metadata.json":
            found[path] = (data, head["ETag"], head["ContentType"], head["Metadata"])
    return found


def sent_parts(recorder: Proxy) -> list[int]:
    return sorted(one.part_number or 0 for one in recorder.calls("UploadPart"))


# --- the same as directly ----------------------------------------------------------------


def test_it_stores_what_a_direct_upload_stores(scene: Scene, via: Via) -> None:
    tree = scene.write_tree(
        {
            "stdout.log": "one\n",
            "results.json": "{}",
            "screenshots/ü [1] %2F.png": b"png",
            "empty.txt": b"",
            "a/b/c.bin": content(4000),
            "big.bin": LARGE,
        }
    )
    through, direct = scene.new_execution(), scene.new_execution()
    lines = scene.cli("upload", through, tree, "--json", *via.options, env=via.env).ok()
    expected = scene.cli("upload", direct, tree, "--json").ok()

    def plain(records: list[Any]) -> list[Any]:
        dropped = [{**one, "key": one["key"].split("/", 2)[2]} for one in records]
        return sorted(dropped, key=lambda one: str(one["path"]))

    assert plain(lines.json_lines()) == plain(expected.json_lines())
    assert lines.err.replace(through, "") == expected.err.replace(direct, "")
    assert stored(scene, through) == stored(scene, direct)
    assert scene.unfinished_uploads() == {}
    scene.cli("verify", through, tree).ok()
    assert scene.cli("logs", through, "stdout").ok().out == "one\n"

    scene.recorder.clear()
    again = scene.cli("upload", through, tree, "--json", *via.options, env=via.env).ok()
    assert {one["outcome"] for one in again.json_lines()} == {"identical"}
    assert scene.recorder.operations()["UploadPart"] == 0
    assert {one.key for one in scene.recorder.calls("PutObject")} == {metadata_key(through)}

    for name in ("stdout.log", "big.bin"):
        (tree / name).write_bytes(b"other" * (PART // 4))
    before = stored(scene, through)
    conflict = scene.cli("upload", through, tree, "--json", *via.options, env=via.env).expect(6)
    outcomes = {one["path"]: one["outcome"] for one in conflict.json_lines()}
    assert {path for path, outcome in outcomes.items() if outcome == "conflict"} == {
        "logs/stdout.log",
        "artifacts/custom/big.bin",
    }
    assert stored(scene, through) == before
    record = scene.record(through)
    failing = {one["path"] for one in record["failures"]}
    assert failing == {"logs/stdout.log", "artifacts/custom/big.bin"}
    # What is stored under these names, once more, is no conflict any more.
    (tree / "stdout.log").write_bytes(b"one\n")
    (tree / "big.bin").write_bytes(LARGE)
    scene.cli("upload", through, tree, *via.options, env=via.env).ok()
    record = scene.record(through)
    assert (record["artifact_status"], record["failures"]) == ("pending", [])


def test_many_files_take_few_requests(scene: Scene, via: Via, execution: str) -> None:
    tree = scene.write_tree({f"{number}.txt": str(number) for number in range(150)})
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    assert len(stored(scene, execution)) == 150
    offers = [line for line in via.server.log if "POST" in line and '/uploads"' in line]
    assert 1 <= len(offers) < 40


def test_a_stream_is_stored_and_resumed_through_a_server(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    stream = ("upload", execution, "-", "--name", "stdout.log", "--json", *via.options)
    scene.recorder.inject(
        faults.Answer(501, "NotImplemented"), "UploadPart", part_number=4, times=None
    )
    server_forks.run(*stream, stdin=BIG, env=via.env).expect(1)
    scene.recorder.heal()
    scene.recorder.clear()
    (line,) = scene.cli(*stream, stdin=BIG, env=via.env).ok().json_lines()
    assert (line["outcome"], line["size_bytes"]) == ("created", len(BIG))
    assert line["resumed_bytes"] + line["sent_bytes"] == len(BIG)
    assert 4 in sent_parts(scene.recorder)
    assert scene.recorder.request_bytes("UploadPart") == line["sent_bytes"] < len(BIG)
    assert scene.contents(key_of("stdout.log", execution)).popitem()[1] == BIG
    (again,) = scene.cli(*stream, stdin=BIG, env=via.env).ok().json_lines()
    assert again["outcome"] == "identical"
    short = ("upload", execution, "-", "--name", "x.txt", *via.options)
    scene.cli(*short, stdin=b"short", env=via.env).ok()
    assert stored(scene, execution)["artifacts/custom/x.txt"][0] == b"short"


def test_a_dry_run_compares_and_stores_nothing(scene: Scene, via: Via, execution: str) -> None:
    tree = scene.write_tree({"stdout.log": "x", "a.txt": "a"})
    scene.cli("upload", execution, tree / "a.txt", *via.options, env=via.env).ok()
    upload = ("upload", execution, tree, *via.options, "--dry-run", "--json")
    lines = scene.cli(*upload, env=via.env).ok().json_lines()
    assert {one["path"]: one["outcome"] for one in lines} == {
        "artifacts/custom/a.txt": "identical",
        "logs/stdout.log": "created",
    }
    (tree / "a.txt").write_text("b")
    scene.cli(*upload, env=via.env).expect(6)
    assert list(stored(scene, execution)) == ["artifacts/custom/a.txt"]


def test_what_failed_is_on_record_until_it_is_stored(
    scene: Scene, via: Via, execution: str
) -> None:
    deep = "/".join(["d" * 200] * 6)
    tree = scene.write_tree({"a.txt": "a", f"{deep}/b.txt": "b"})
    failed = scene.cli("upload", execution, tree, *via.options, env=via.env).expect(3)
    assert "longer than 1,024 bytes" in failed.err
    record = scene.record(execution)
    assert record["artifact_status"] == "artifact_error"
    assert [one["path"].endswith("b.txt") for one in record["failures"]] == [True]
    scene.cli("finish", execution, "--result", "pass").expect(0)
    shutil.rmtree(tree / ("d" * 200))
    (tree / "c.txt").write_text("c")
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])
    # A finished execution takes more files, as directly, and its manifest has them.
    assert [one["path"][-5:] for one in record["artifacts"]] == ["a.txt", "c.txt"]


@pytest.mark.parametrize("status", [403, 500])
def test_a_file_that_cannot_be_looked_at_fails_alone(
    scene: Scene, via: Via, execution: str, status: int
) -> None:
    tree = scene.write_tree({f"{number}.txt": b"x" for number in range(12)})
    code = {403: "AccessDenied", 500: "InternalError"}[status]
    bad = key_of("7.txt", execution)
    scene.recorder.inject(faults.Answer(status, code), "HeadObject", key=bad, times=None)
    scene.recorder.inject(faults.Answer(status, code), "GetObject", key=bad, times=None)
    scene.cli("upload", execution, tree, *via.options, env=via.env).expect(3)
    record = scene.record(execution)
    assert [one["path"] for one in record["failures"]] == ["artifacts/custom/7.txt"]
    stored = scene.list_keys(f"executions/{execution}/artifacts/")
    assert len(stored) == 11


# --- interrupted -------------------------------------------------------------------------


def test_a_killed_upload_is_resumed(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    file = scene.write_tree({"big.bin": BIG}) / "big.bin"
    hold = faults.Hold("answer")
    scene.recorder.inject(hold, "UploadPart", nth=3, times=None)
    child = server_forks.start("upload", execution, file, *via.options, env=via.env)
    assert hold.reached.wait(60)
    scene.recorder.wait_for(lambda seen: answered(seen, "UploadPart") >= 2, 60)
    child.signal(signal.SIGKILL)
    child.wait(60)
    scene.recorder.heal()
    hold.released.set()
    scene.recorder.settle(60)
    (upload_id,) = scene.unfinished_uploads()
    key = key_of("big.bin", execution)
    listed = scene.s3.list_parts(Bucket=scene.bucket, Key=key, UploadId=upload_id)["Parts"]
    there = {part["PartNumber"] for part in listed}
    assert len(there) >= 2

    scene.recorder.clear()
    (line,) = (
        scene.cli("upload", execution, file, "--json", *via.options, env=via.env).ok().json_lines()
    )
    assert sent_parts(scene.recorder) == sorted({1, 2, 3, 4} - there)
    assert line["resumed_bytes"] + line["sent_bytes"] == len(BIG)
    assert scene.contents(key) == {key: BIG}
    assert scene.unfinished_uploads() == {}


def test_interrupted_it_says_how_to_go_on(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    file = scene.write_tree({"big.bin": LARGE}) / "big.bin"
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "UploadPart", times=None)
    child = server_forks.start("upload", execution, file, *via.options, env=via.env)
    assert hold.reached.wait(60)
    child.signal(signal.SIGINT)
    err = child.wait(60).expect(130).err
    assert f"orchestrator upload {execution} {file} --via {via.url}" in err
    assert via.tokens.upload not in err
    (failure,) = scene.record(execution)["failures"]
    assert (failure["path"], failure["error"]) == (
        "artifacts/custom/big.bin",
        "not stored: interrupted",
    )
    hold.released.set()


def test_another_replica_takes_over(
    scene: Scene, server_forks: ForkServer, via: Via, serve: Serve, execution: str
) -> None:
    file = scene.write_tree({"big.bin": LARGE}) / "big.bin"
    second = make_via(serve, via.tokens)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "UploadPart", times=None)
    with run_proxy(via.url) as balancer:
        child = server_forks.start(
            "upload", execution, file, "--via", balancer.endpoint_url, env=via.env
        )
        assert hold.reached.wait(60)
        balancer.upstream = ("127.0.0.1", second.server.port)
        assert via.server.stop() == 0
        hold.released.set()
        child.wait(90).expect(0)
    assert any("/uploads/multipart/complete" in line for line in second.server.log)
    key = key_of("big.bin", execution)
    assert scene.contents(key) == {key: LARGE}


# --- servers that give less than AWS ------------------------------------------------------


@pytest.mark.parametrize("name", quirks.SERVERS)
def test_lesser_storages_take_uploads_through_a_server(
    scene: Scene, name: str, via: Via, execution: str
) -> None:
    quirks.pretend(scene.recorder, quirks.SERVERS[name])
    files = {"a b+ü.txt": b"a", "empty.txt": b"", "big.bin": content(2 * PART + 9)}
    tree = scene.write_tree(files)
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    assert {data for data, *_ in stored(scene, execution).values()} == set(files.values())
    again = scene.cli("upload", execution, tree, "--json", *via.options, env=via.env).ok()
    assert {one["outcome"] for one in again.json_lines()} == {"identical"}
    (tree / "a b+ü.txt").write_bytes(b"b")
    (tree / "big.bin").write_bytes(content(2 * PART + 9, 1))
    scene.cli("upload", execution, tree, *via.options, env=via.env).expect(6)
    assert {data for data, *_ in stored(scene, execution).values()} == set(files.values())


def test_the_first_stays_in_a_versioned_bucket_that_heeds_no_condition(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    scene.s3.put_bucket_versioning(
        Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    quirks.pretend(scene.recorder, quirks.CEPH_VERSIONED)
    file = scene.write_tree({"a.txt": b"mine"}) / "a.txt"
    key = key_of("a.txt", execution)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "PutObject", key="a.txt")
    child = server_forks.start("upload", execution, file, *via.options, env=via.env)
    assert hold.reached.wait(60)
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"first")
    hold.released.set()
    child.wait(90).expect(6)
    assert scene.contents(key) == {key: b"first"}
    versions = scene.s3.list_object_versions(Bucket=scene.bucket, Prefix=key)["Versions"]
    assert len(versions) == 1
    for one in scene.s3.list_object_versions(Bucket=scene.bucket)["Versions"]:
        scene.s3.delete_object(Bucket=scene.bucket, Key=one["Key"], VersionId=one["VersionId"])


def test_a_name_that_is_taken_while_parts_are_sent(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    # Ceph completes over what is there: the server looks right before.
    quirks.pretend(scene.recorder, quirks.CEPH)
    file = scene.write_tree({"big.bin": LARGE}) / "big.bin"
    key = key_of("big.bin", execution)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "UploadPart")
    child = server_forks.start("upload", execution, file, *via.options, env=via.env)
    assert hold.reached.wait(60)
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"first")
    hold.released.set()
    child.wait(90).expect(6)
    assert scene.contents(key) == {key: b"first"}
    assert scene.unfinished_uploads() == {}


# --- what can go wrong -------------------------------------------------------------------


def test_what_answers_anything_with_a_page_has_stored_nothing(
    scene: Scene, via: Via, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    tree = scene.write_tree({"a.txt": b"a"})
    scene.recorder.inject(faults.LoginPage(), "PutObject", times=None)
    result = scene.cli("upload", execution, tree, *via.options, env=via.env).expect(9)
    assert "what answered is not S3" in result.err
    assert stored(scene, execution) == {}
    scene.recorder.heal()
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()


@pytest.mark.parametrize(("other", "code"), [(b"mine", 0), (b"other", 6)])
def test_a_file_that_somebody_stored_first_is_identical_or_a_conflict(
    scene: Scene, other: bytes, code: int, server_forks: ForkServer, via: Via, execution: str
) -> None:
    file = scene.write_tree({"a.txt": b"mine"}) / "a.txt"
    key = key_of("a.txt", execution)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "PutObject", key="a.txt")
    child = server_forks.start("upload", execution, file, "--json", *via.options, env=via.env)
    assert hold.reached.wait(60)
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=other)
    hold.released.set()
    result = child.wait(60).expect(code)
    assert ('"identical"' in result.out) == (code == 0)
    assert scene.contents(key) == {key: other}


def test_an_upload_that_somebody_ends_begins_anew(
    scene: Scene, server_forks: ForkServer, via: Via, execution: str
) -> None:
    file = scene.write_tree({"big.bin": LARGE}) / "big.bin"
    key = key_of("big.bin", execution)
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "UploadPart", part_number=1)
    # As some servers answer a part whose upload is gone.
    scene.recorder.inject(faults.internal_error(), "UploadPart", part_number=1)
    child = server_forks.start("upload", execution, file, *via.options, env=via.env)
    assert hold.reached.wait(60)
    (upload_id,) = scene.unfinished_uploads()
    scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=key, UploadId=upload_id)
    hold.released.set()
    child.wait(90).expect(0)
    assert scene.contents(key) == {key: LARGE}
    # It begins anew, and does not send the part again and again before.
    sent = [one for one in scene.recorder.calls("UploadPart") if one.part_number == 1]
    assert [one.request.query["uploadId"] == upload_id for one in sent] == [True, False]


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_a_url_that_has_expired_is_asked_again(
    scene: Scene, operation: str, via: Via, execution: str
) -> None:
    tree = scene.write_tree({"a.txt": "a", "big.bin": LARGE})
    expired = faults.Answer(403, "AccessDenied", "Request has expired")
    scene.recorder.inject(expired, operation)
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    scene.recorder.inject(expired, operation, times=None)
    (tree / "c.txt").write_text("c")
    (tree / "other.bin").write_bytes(content(PART + 9, 1))
    refused = scene.cli("upload", execution, tree, *via.options, env=via.env)
    # It may be the matter of this file alone.
    assert refused.exit_code in (3, 5)
    assert "access denied" in refused.err
    assert "X-Amz" not in refused.err


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CompleteMultipartUpload"])
def test_a_response_that_is_lost_stores_nothing_twice(
    scene: Scene, operation: str, via: Via, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    files = {"a.txt": b"a", "big.bin": LARGE}
    tree = scene.write_tree(files)
    scene.recorder.inject(faults.DropAnswer(), operation, key="a.txt|big.bin")
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    assert {data for data, *_ in stored(scene, execution).values()} == set(files.values())
    assert scene.unfinished_uploads() == {}


def test_a_body_that_arrives_damaged_is_sent_again(scene: Scene, via: Via, execution: str) -> None:
    # This storage checks nothing; the ETag that it answers tells.
    scene.recorder.inject(faults.CorruptRequest(1000), "UploadPart", part_number=1)
    tree = scene.write_tree({"big.bin": LARGE})
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    assert stored(scene, execution)["artifacts/custom/big.bin"][0] == LARGE


def test_only_a_token_of_the_execution_or_its_bench_may_upload(
    scene: Scene, serve: Serve, tokens: Tokens
) -> None:
    file = scene.write_tree({"a.txt": "a"}) / "a.txt"
    own = scene.put_execution(make_id(), bench_id="bench-7", runner_type="onprem")
    other = scene.put_execution(make_id(number=1))
    of_bench = tokens.make("seven", "--scope", "upload", "--bench", "bench-7")
    of_execution = tokens.make("one", "--scope", "upload", "--execution", own.lower())
    ended = tokens.make("ended", "--scope", "upload", "--valid-for", "1ms")
    later = tokens.make("later", "--scope", "upload", "--valid-for", "1h")
    via = make_via(serve, tokens)

    def attempt(token: str | None, execution: str, code: int) -> str:
        env = via_environment(token)
        return scene.cli("upload", execution, file, *via.options, env=env).expect(code).err

    for token in (None, "orc_unknown", ended):
        assert "no valid bearer token" in attempt(token, own, 5)
    assert "this token is for reading only" in attempt(tokens.read, own, 5)
    assert "executions of another bench" in attempt(of_bench, other, 5)
    assert f"uploads to {own} only" in attempt(of_execution, other, 5)
    assert [key for key in scene.contents() if key.endswith("a.txt")] == []
    for token in (of_bench, of_execution, later, via.tokens.upload):
        attempt(token, own, 0)
    file.with_name("token").write_text(of_bench + "\n")
    named = ("--via-token-file", file.with_name("token"))
    scene.cli("upload", own, file, *via.options, *named, env=via_environment("orc_unknown")).ok()
    log = "".join(via.server.log)
    assert '"token": "seven"' in log
    assert "orc_" not in log


def test_an_upload_that_cannot_begin_says_why(scene: Scene, via: Via) -> None:
    file = scene.write_tree({"a.txt": "a"}) / "a.txt"

    def attempt(code: int, *options: Any, execution: str = make_id()) -> str:
        return scene.cli("upload", execution, file, *options, env=via.env).expect(code).err

    assert "no such execution" in attempt(4, *via.options)
    assert "--yes" in attempt(2, *via.options, execution="@latest")
    assert "for uploads only" in attempt(5, *via.options, "--yes", execution="@latest")
    assert "--via" in attempt(2, "--via", scene.recorder.endpoint_url)
    for url in ("ftp://host", "nonsense", "https://user:pass@host", f"{via.url}?q=1", "http://"):
        assert "pass" not in attempt(2, "--via", url)
    attempt(2, *via.options, "--via-token-file", scene.directory / "missing")
    env = via.env | {"AWS_CA_BUNDLE": "/nowhere.pem"}
    lacking = scene.cli("upload", make_id(), file, "--via", "https://localhost:1", env=env).expect(
        2
    )
    assert "AWS_CA_BUNDLE: cannot read /nowhere.pem" in lacking.err
    (scene.directory / "spoilt").write_text("two words")
    assert "two words" not in attempt(
        2, *via.options, "--via-token-file", scene.directory / "spoilt"
    )


def test_a_server_that_is_away_is_exit_9(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    file = scene.write_tree({"a.txt": "a"}) / "a.txt"
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    away = scene.cli("upload", make_id(), file, "--via", url, env=via_environment("orc_x")).expect(
        9
    )
    assert "connection refused" in away.err
    assert f"--via {url}" in away.err
