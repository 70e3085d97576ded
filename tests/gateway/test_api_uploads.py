"""The upload endpoints as any HTTP client meets them, and as a hostile one does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from tests.support.commands.serving import Serve, Server, problem
from tests.support.scene import Scene
from tests.support.stored.engine import PART, content, key_of
from tests.support.stored.executions import make_id

DATA = b"what a bench has"


def offer(data: bytes = DATA, path: str = "a.txt", **fields: Any) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return {"path": path, "size_bytes": len(data), "sha256": digest, **fields}


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_execution()


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve()


Ask = Callable[..., urllib3.BaseHTTPResponse]


@pytest.fixture
def ask(server: Server, execution: str) -> Ask:
    """Post to an endpoint of the execution's uploads."""

    def post(record: Any, endpoint: str = "") -> urllib3.BaseHTTPResponse:
        return server.post(f"/executions/{execution}/uploads{endpoint}", record)

    return post


def send(server: Server, put: Any, body: bytes) -> urllib3.BaseHTTPResponse:
    return server.http.request("PUT", put["url"], body=body, headers=put["headers"])


def test_a_small_file_is_offered_sent_and_recorded(
    scene: Scene, ask: Ask, server: Server, execution: str
) -> None:
    terms = server.get(f"/executions/{execution}/uploads").json()
    assert terms["base_part_bytes"] == PART
    files = [offer(), offer(b"log", "stdout.log", content_type="text/html")]
    answers = ask({"files": files}).json()["files"]
    assert [one["path"] for one in answers] == ["artifacts/custom/a.txt", "logs/stdout.log"]
    for one, data in zip(answers, (DATA, b"log"), strict=True):
        assert (one["outcome"], one["stored"], one["unfinished"]) == (None, None, None)
        headers = one["put"]["headers"]
        assert headers["if-none-match"] == "*"
        assert headers["content-length"] == str(len(data))
        digest = hashlib.sha256(data)
        assert headers["x-amz-checksum-sha256"] == base64.b64encode(digest.digest()).decode()
        assert headers["x-amz-meta-sha256"] == digest.hexdigest()
        signed = one["put"]["url"].partition("X-Amz-SignedHeaders=")[2].partition("&")[0]
        assert set(signed.split("%3B")) == {*headers, "host"}
        assert send(server, one["put"], data).status == 200
        assert send(server, one["put"], data).status == 412
    head = scene.s3.head_object(Bucket=scene.bucket, Key=key_of("stdout.log", execution))
    # The type follows from the name, whatever the uploader claims.
    assert head["ContentType"] == "text/plain; charset=utf-8"
    again = ask({"files": [offer(), offer(b"other"), offer(b"of the same siz")]}).json()["files"]
    assert [one["outcome"] for one in again] == ["identical", "conflict", "conflict"]
    assert {one["put"] for one in again} == {None}
    failed = {"artifacts/custom/b": "lost", "artifacts/custom/a.txt": "lost", ".": "ended early"}
    recorded = ask({"failed": failed}, "/results").json()
    assert recorded == {"artifact_status": "artifact_error", "failure_count": 3}
    # What is not stored stays a failure, whoever says that it is not.
    recorded = ask({"resolved": list(failed)}, "/results").json()
    assert recorded == {"artifact_status": "artifact_error", "failure_count": 1}
    scene.s3.put_object(Bucket=scene.bucket, Key=key_of("b", execution), Body=b"b")
    recorded = ask({"resolved": ["artifacts/custom/b"]}, "/results").json()
    assert recorded == {"artifact_status": "pending", "failure_count": 0}


def test_a_large_file_goes_by_signed_parts(
    scene: Scene, ask: Ask, server: Server, execution: str
) -> None:
    data = content(PART + 9)
    pieces = [data[:PART], data[PART:]]
    file = {"path": "big.bin", "size_bytes": len(data)}
    assert ask({"files": [file]}).json()["files"][0]["unfinished"] == []
    begun = ask({"path": "big.bin"}, "/multipart").json()
    upload = {"path": "big.bin", "upload_id": begun["upload_id"]}
    parts = [
        {
            "number": number,
            "size_bytes": len(piece),
            "sha256": hashlib.sha256(piece).hexdigest(),
            "md5": hashlib.md5(piece).hexdigest(),
        }
        for number, piece in enumerate(pieces, 1)
    ]
    signed = ask(upload | {"parts": parts}, "/multipart/parts").json()["parts"]
    assert send(server, signed[0], pieces[0]).status == 200
    # What is there comes along, and is not enough.
    (unfinished,) = ask({"files": [file]}).json()["files"][0]["unfinished"]
    assert unfinished["upload_id"] == begun["upload_id"]
    assert [one["size_bytes"] for one in unfinished["parts"]] == [PART]
    etags = b"".join(hashlib.md5(piece).digest() for piece in pieces)
    whole = {"size_bytes": len(data), "checksums": [f"md5:{hashlib.md5(etags).hexdigest()}-2"]}
    early = problem(ask(upload | whole, "/multipart/complete"), 409, "conflict")
    assert early["code"] == "InvalidPart"
    assert send(server, signed[1], pieces[1]).status == 200
    wrong = whole | {"checksums": ["md5:" + "0" * 32 + "-2"]}
    begun_again = ask({"path": "big.bin"}, "/multipart").json()["upload_id"]
    assert (
        problem(ask(upload | wrong, "/multipart/complete"), 409, "conflict")["code"]
        == "InvalidPart"
    )
    assert scene.list_keys(key_of("big.bin", execution)) == []
    if begun["upload_id"] not in scene.unfinished_uploads():
        pytest.fail("the upload was given up")
    assert ask(upload | whole, "/multipart/complete").json()["outcome"] == "created"
    assert scene.contents(key_of("big.bin", execution)).popitem()[1] == data
    assert begun_again not in scene.unfinished_uploads()
    ended = problem(ask(upload | whole, "/multipart/complete"), 404, "not-found")
    assert ended["code"] == "NoSuchUpload"
    (stored,) = ask({"files": [file]}).json()["files"]
    assert stored["stored"]["part_schedule"] == begun["part_schedule"]


_HASH = "0" * 64
_BAD_FILES: list[dict[str, Any]] = [
    {"path": "../../../metadata.json"},
    {"path": "a/../b"},
    {"path": "/etc/passwd"},
    {"path": "a//b"},
    {"path": "a\r\nx-amz-acl: public-read"},
    {"path": "nul\x00"},
    {"path": "\ud800"},
    {"path": "x" * 2000},
    {"path": "ü" * 600},
    {"path": ""},
    {"path": None},
    {"size_bytes": -1},
    {"size_bytes": 1e300},
    {"size_bytes": "4"},
    {"size_bytes": True},
    {"size_bytes": 10**18},
    {"sha256": "0"},
    {"sha256": _HASH.replace("0", "G")},
    {"sha256": _HASH + "\n"},
    {"sha256": None},
    {"md5": "0" * 31},
    {"content_type": "text/plain\r\nx-amz-acl: public-read"},
    {"content_type": "text/plain\nX: y"},
    {"content_type": "plain"},
    {"content_type": ""},
    {"content_type": "téxt/plain"},
    {"content_type": "x" * 1000},
    {"acl": "public-read"},
]


def test_an_offer_that_is_not_valid_is_refused(scene: Scene, ask: Ask) -> None:
    for bad in _BAD_FILES:
        body = problem(ask({"files": [offer(b"good"), offer() | bad]}), 400, "usage")
        assert body["exit_code"] == 2, bad
        assert "\n" not in body["detail"]
    for many in ([], [offer()] * 201):
        problem(ask({"files": many}), 400, "usage")
    problem(ask([]), 400, "usage")
    problem(ask("files"), 400, "usage")
    # Where a file goes does not depend on what its sender calls it.
    (answer,) = ask({"files": [offer(path="metadata.json")]}).json()["files"]
    assert answer["path"] == "artifacts/custom/metadata.json"
    assert [key for key in scene.list_keys() if not key.endswith("metadata.json")] == []


def test_a_request_that_is_not_valid_is_refused(ask: Ask, server: Server, execution: str) -> None:
    part = {"number": 1, "size_bytes": 5, "sha256": _HASH}
    upload = {"path": "a.bin", "upload_id": "x"}
    whole = {"size_bytes": 5, "checksums": [f"sha256:{_HASH}-1"]}
    for endpoint, record in [
        ("/multipart", {"path": "../a"}),
        ("/multipart", {"path": "a", "part_schedule": "fixed-1"}),
        ("/multipart", {"path": "a", "part_schedule": "x\r\ny"}),
        ("/multipart", {"path": "a", "content_type": "a/b\r\nc: d"}),
        ("/multipart/parts", upload | {"parts": []}),
        ("/multipart/parts", upload | {"parts": [part] * 501}),
        ("/multipart/parts", upload | {"parts": [part | {"number": 0}]}),
        ("/multipart/parts", upload | {"parts": [part | {"number": 10_001}]}),
        ("/multipart/parts", upload | {"parts": [part | {"size_bytes": 0}]}),
        ("/multipart/parts", upload | {"parts": [part | {"size_bytes": 6 * 1024**3}]}),
        ("/multipart/parts", upload | {"upload_id": "a\r\nb", "parts": [part]}),
        ("/multipart/parts", upload | {"upload_id": "x" * 2000, "parts": [part]}),
        ("/multipart/complete", upload | whole | {"checksums": []}),
        ("/multipart/complete", upload | whole | {"checksums": ["sha256:x"]}),
        ("/multipart/complete", upload | whole | {"checksums": [f"sha256:{_HASH}"]}),
        ("/multipart/complete", upload | whole | {"size_bytes": 10**17}),
        ("/results", {"failed": {"a\nb": "x"}}),
        ("/results", {"failed": {"": "x"}}),
        ("/results", {"failed": {"a": "x" * 2000}}),
        ("/results", {"resolved": ["x" * 5000]}),
        ("/results", {"resolved": ["x"] * 501}),
    ]:
        problem(ask(record, endpoint), 400, "usage")
    problem(ask(upload | whole, "/multipart/complete"), 404, "not-found")
    path = f"/executions/{execution}/uploads"
    json_type = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff", b'{"files": ' + b"[" * 100_000, b"", b"null"):
        problem(server.get(path, "POST", body=body, headers=json_type), 400, "usage")
    simple = {"Content-Type": "text/plain"}
    problem(server.get(path, "POST", body=b"{}", headers=simple), 415, "media-type")
    problem(server.get(path, "POST", body=b" " * 2_000_000, headers=json_type), 413, "too-large")
    problem(server.post(f"/executions/{make_id()}/uploads", {"files": [offer()]}), 404, "not-found")
    problem(server.post("/executions/nonsense/uploads", {"files": [offer()]}), 400, "usage")
    unserved = server.get(path, "PUT", body=b"{}", headers=json_type)
    problem(unserved, 405, "http")
    assert unserved.headers["allow"] == "GET, HEAD, POST"


def test_a_record_is_bounded_and_printable(scene: Scene, ask: Ask, execution: str) -> None:
    failed = {f"artifacts/custom/{number}": "\x1b[31m" + "x" * 900 for number in range(200)}
    assert ask({"failed": failed}, "/results").status == 200
    record = scene.record(execution)
    assert 0 < len(record["failures"]) < 200
    assert record["failures"][0]["error"].startswith("\\x1b[31m")


def test_a_line_or_options_that_make_no_token_are_refused(scene: Scene) -> None:
    file, digest = scene.directory / "tokens", "sha256:" + "0" * 64
    for line in (
        f"a upload bench {digest}",
        f"a upload bench= {digest}",
        f"a upload bench=b bench=c {digest}",
        f"a upload execution=nonsense {digest}",
        f"a upload until=tomorrow {digest}",
        f"a upload until=2026-01-30 {digest}",
        f"a upload colour=red {digest}",
        f"a read bench=b {digest}",
        f"a write {digest}",
        f"a {digest}",
        "a upload sha256:0",
        "upload",
    ):
        file.write_text(f"# a comment\n{line}\n")
        refused = scene.cli("serve", "--port", "0", "--tokens", file).expect(2)
        assert "line 2" in refused.err
        assert "000" not in refused.err
    for options in (
        ("--scope", "upload"),
        ("--valid-for", "1h"),
        ("--new-token", "a", "--bench", "b"),
        ("--new-token", "a", "--scope", "upload", "--bench", "b c"),
        ("--new-token", "a", "--scope", "upload", "--execution", "nonsense"),
        ("--new-token", "a", "--scope", "everything"),
        ("--new-token", "a", "--valid-for", "9999999d"),
        ("--viewer", "trace.zip"),
        ("--viewer", "=https://viewer.example/?url="),
        ("--viewer", ".zip=javascript:alert(1)//"),
    ):
        scene.cli("serve", "--port", "0", *options).expect(2)


def test_head_is_answered_wherever_get_is(scene: Scene, server: Server) -> None:
    execution = scene.put_execution(files={"logs/stdout.log": b"x\n"})
    base = f"/executions/{execution}"
    for path in (
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/executions",
        base,
        f"{base}/artifacts",
        f"{base}/artifacts/logs/stdout.log",
        f"{base}/logs/stdout",
        f"{base}/logs/stdout?tail=1",
        f"{base}/uploads",
        f"{base}/artifacts/none",
    ):
        got, head = server.get(path), server.get(path, "HEAD")
        assert (head.status, head.data) == (got.status, b""), path
        assert head.headers.get("content-length") == got.headers.get("content-length"), path
    # What a redirect leads to can be asked for its head too.
    redirect = server.get(f"{base}/logs/stdout", "HEAD").headers["location"]
    assert server.http.request("HEAD", redirect).status == 200
    problem(server.post("/healthz", {}), 405, "http")


# --- versions of an object ---------------------------------------------------------------


def test_only_its_own_version_can_be_taken_back(scene: Scene, ask: Ask, execution: str) -> None:
    scene.s3.put_bucket_versioning(
        Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    (answer,) = ask({"files": [offer()]}).json()["files"]
    put, key = answer["put"], key_of("a.txt", execution)
    # A storage that ignores If-None-Match takes both.
    recorded = put["headers"]["x-amz-meta-receipt-sha256"]
    assert put["receipt"] not in str(put["headers"])
    first = scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"somebody else's")["VersionId"]
    own = scene.s3.put_object(
        Bucket=scene.bucket, Key=key, Body=DATA, Metadata={"receipt-sha256": recorded}
    )
    third = scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"of a third")["VersionId"]
    asked = {"path": "a.txt", "receipt": put["receipt"]}
    # As whoever may write to the bucket can have it.
    receipt = {"x-amz-meta-receipt-sha256": "\u00e9", "content-type": "text/plain"}
    url = scene.s3.generate_presigned_url("put_object", {"Bucket": scene.bucket, "Key": key})
    other = urllib3.request("PUT", url, body=b"x", headers=receipt).headers["x-amz-version-id"]
    for version_id in (first, third, other):
        problem(ask(asked | {"version_id": version_id}, "/resolve"), 400, "usage")
    # What anybody who may read the object sees of it is no receipt.
    forged = asked | {"receipt": recorded, "version_id": own["VersionId"]}
    problem(ask(forged, "/resolve"), 400, "usage")
    mine = ask(asked | {"version_id": own["VersionId"]}, "/resolve").json()
    assert mine == {"withdrawn": True}
    left = scene.s3.list_object_versions(Bucket=scene.bucket, Prefix=key)["Versions"]
    assert {one["VersionId"] for one in left} == {first, third, other}
    for one in scene.s3.list_object_versions(Bucket=scene.bucket)["Versions"]:
        scene.s3.delete_object(Bucket=scene.bucket, Key=one["Key"], VersionId=one["VersionId"])


def test_a_bucket_without_versions_needs_no_receipt(ask: Ask) -> None:
    (answer,) = ask({"files": [offer()]}).json()["files"]
    assert answer["put"]["receipt"] is None
