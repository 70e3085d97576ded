"""Uploads through a server, where the storage checks signatures and checksums."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import urllib3

from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA
from orchestrator_cli.core.s3.part_plan import DOUBLING
from tests.localstack.contents import PART, composite, noise, parts_of, sha256_base64
from tests.support.commands.serving import Serve, Server
from tests.support.commands.via import Via, via_environment
from tests.support.proxy.faults import CorruptRequest
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack

CONTENT = noise(3 * PART + 12_345)
SMALL = noise(1000, 1)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def send(put: Any, body: bytes, **changed: str | None) -> urllib3.BaseHTTPResponse:
    """Send a body to a signed URL, with some headers changed, or left out."""
    named = {name.replace("_", "-"): text for name, text in changed.items()}
    headers = {**put["headers"], **named}
    sent = {name: text for name, text in headers.items() if text is not None}
    return urllib3.request("PUT", put["url"], body=body, headers=sent, retries=False, timeout=60)


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve()


def test_files_and_logs_are_read_through_signed_urls(
    scene: Scene, via: Via, execution_id: str
) -> None:
    tree = scene.write_tree({"stdout.log": b"one\ntwo\n", "big.bin": CONTENT, "empty.txt": b""})
    scene.cli("upload", execution_id, tree).ok()
    reader = via_environment(via.tokens.read)
    for again in (False, True):
        out = scene.cli(
            "download", execution_id, "-o", scene.directory / "out", *via.options, env=reader
        ).ok()
        assert ("3 identical" in out.err) == again
    assert (scene.directory / "out/artifacts/custom/big.bin").read_bytes() == CONTENT
    logs = ("logs", execution_id, "stdout", *via.options)
    assert scene.cli(*logs, env=reader).ok().out == "one\ntwo\n"
    assert scene.cli(*logs, "--tail", "1", env=reader).ok().out == "two\n"
    empty = scene.cli("logs", execution_id, "artifacts/custom/empty.txt", *via.options, env=reader)
    assert empty.ok().out == ""


def test_files_of_every_size_arrive_although_bodies_are_damaged(
    scene: Scene, via: Via, execution_id: str
) -> None:
    scene.recorder.inject(CorruptRequest(100), "PutObject", key="small")
    scene.recorder.inject(CorruptRequest(100), "UploadPart", part_number=2)
    tree = scene.write_tree({"small.bin": SMALL, "big.bin": CONTENT, "empty": b""})
    run = scene.cli("upload", execution_id, tree, "--json", *via.options, env=via.env).ok()
    checksums = {one["path"].rpartition("/")[2]: one["checksum"] for one in run.json_lines()}
    assert checksums == {
        "small.bin": f"sha256:{digest(SMALL)}",
        "big.bin": composite(CONTENT),
        "empty": f"sha256:{digest(b'')}",
    }
    prefix = f"executions/{execution_id}/artifacts/"
    assert sorted(scene.contents(prefix).values()) == sorted([SMALL, CONTENT, b""])
    scene.cli("verify", execution_id, tree).ok()
    again = scene.cli("upload", execution_id, tree, "--json", *via.options, env=via.env).ok()
    assert {one["outcome"] for one in again.json_lines()} == {"identical"}


def test_an_upload_goes_on_with_the_parts_that_match(
    scene: Scene, via: Via, execution_id: str
) -> None:
    key = f"executions/{execution_id}/artifacts/custom/big.bin"
    for data, numbers in ((noise(len(CONTENT), 9), (1, 2, 3)), (CONTENT, (1, 3))):
        begun = scene.s3.create_multipart_upload(
            Bucket=scene.bucket,
            Key=key,
            ChecksumAlgorithm="SHA256",
            Metadata={SCHEDULE_METADATA: DOUBLING},
        )
        for number in numbers:
            scene.s3.upload_part(
                Bucket=scene.bucket,
                Key=key,
                UploadId=begun["UploadId"],
                PartNumber=number,
                Body=parts_of(data)[number - 1],
                ChecksumSHA256=sha256_base64(parts_of(data)[number - 1]),
            )
    tree = scene.write_tree({"big.bin": CONTENT})
    (line,) = (
        scene.cli("upload", execution_id, tree, "--json", *via.options, env=via.env)
        .ok()
        .json_lines()
    )
    assert (line["resumed_bytes"], line["checksum"]) == (2 * PART, composite(CONTENT))
    assert sorted(sent.part_number or 0 for sent in scene.recorder.calls("UploadPart")) == [2, 4]
    assert scene.contents(key) == {key: CONTENT}
    assert scene.unfinished_uploads() == {}


def test_a_url_takes_what_was_offered_and_nothing_else(
    scene: Scene, server: Server, execution_id: str
) -> None:
    base = f"/executions/{execution_id}/uploads"
    offer = {"path": "a.bin", "size_bytes": len(SMALL), "sha256": digest(SMALL)}
    (answer,) = server.post(base, {"files": [offer]}).json()["files"]
    put = answer["put"]
    other = noise(len(SMALL), 2)
    assert send(put, other).status == 400
    for changed in (
        {"if_none_match": None},
        {"content_type": "text/html"},
        {"x_amz_meta_sha256": digest(other)},
        {"x_amz_checksum_sha256": sha256_base64(other)},
        {"x_amz_meta_sha256": None},
    ):
        assert send(put, SMALL, **changed).status == 403, changed
    assert send(put, other, x_amz_checksum_sha256=sha256_base64(other)).status == 403
    assert send(put, SMALL[:-1], content_length=str(len(SMALL) - 1)).status == 403
    moved = {**put, "url": put["url"].replace("a.bin", "b.bin")}
    assert send(moved, SMALL).status == 403
    assert urllib3.request("GET", put["url"], retries=False).status == 403
    assert scene.list_keys(f"executions/{execution_id}/artifacts/") == []
    assert send(put, SMALL).status == 200
    assert send(put, SMALL).status == 412


def test_a_part_url_takes_its_part(scene: Scene, server: Server, execution_id: str) -> None:
    base = f"/executions/{execution_id}/uploads"
    pieces = parts_of(CONTENT)
    upload_id = server.post(f"{base}/multipart", {"path": "big.bin"}).json()["upload_id"]
    upload = {"path": "big.bin", "upload_id": upload_id}
    offers = [
        {"number": number, "size_bytes": len(piece), "sha256": digest(piece)}
        for number, piece in enumerate(pieces, 1)
    ]
    puts = server.post(f"{base}/multipart/parts", upload | {"parts": offers}).json()["parts"]
    assert send(puts[0], pieces[1]).status == 400
    assert (
        send({**puts[0], "url": puts[0]["url"].replace("Number=1", "Number=2")}, pieces[0]).status
        == 403
    )
    for put, piece in zip(puts, pieces, strict=True):
        assert send(put, piece).status == 200
    whole = {"size_bytes": len(CONTENT), "checksums": [composite(noise(len(CONTENT), 5))]}
    assert server.post(f"{base}/multipart/complete", upload | whole).status == 409
    whole["checksums"] = [composite(CONTENT)]
    done = server.post(f"{base}/multipart/complete", upload | whole).json()
    assert done == {"outcome": "created", "checksum": composite(CONTENT)}
    # An upload id is good for its own file only.
    begun = server.post(f"{base}/multipart", {"path": "one.bin"}).json()["upload_id"]
    stray = {"path": "two.bin", "upload_id": begun, "parts": offers[:1]}
    (put,) = server.post(f"{base}/multipart/parts", stray).json()["parts"]
    assert send(put, pieces[0]).status == 404


def test_a_redirect_works_for_get_and_head(scene: Scene, server: Server, execution_id: str) -> None:
    scene.cli("upload", execution_id, scene.write_tree({"stdout.log": "log"})).ok()
    for method in ("GET", "HEAD"):
        path = f"/executions/{execution_id}/logs/stdout"
        location = server.get(path, method).headers["location"]
        assert urllib3.request(method, location, retries=False).status == 200
