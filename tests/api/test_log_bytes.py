"""Parts of a log by byte offset: the bytes, and the requests to the storage."""

from __future__ import annotations

import gzip

from tests.support.commands.serving import Serve, problem
from tests.support.scene import Scene

LOG = b"".join(b"%07d\n" % number for number in range(400_000))


def test_reading_any_part_of_a_log_takes_one_request(scene: Scene, serve: Serve) -> None:
    files = {"logs/stdout.log": LOG, "logs/stderr.log": b""}
    base = f"/executions/{scene.put_execution(files=files)}/logs"
    server = serve()
    scene.recorder.clear()
    for query, offset, length in (
        ("", 0, 256 * 1024),
        ("?offset=1000000&length=10", 1_000_000, 10),
        ("?offset=-100", len(LOG) - 100, 100),
        ("?offset=-9000000&length=1048576", 0, 1024 * 1024),
        (f"?offset={len(LOG) - 5}&length=100", len(LOG) - 5, 5),
        ("?offset=99999999", len(LOG), 0),
        ("?length=0", 0, 0),
    ):
        response = server.get(f"{base}/stdout/bytes{query}")
        assert (response.status, response.data) == (200, LOG[offset : offset + length]), query
        told = [response.headers[f"x-log-{name}"] for name in ("offset", "size", "state")]
        assert told == [str(offset), str(len(LOG)), "final"]
        assert response.headers.get("x-log-line") == (None if offset else "0")
    # The log and its missing index are looked up once for all parts. Each part
    # that is not empty takes one read.
    assert scene.recorder.operations() == {"GetObject": 5 + 1, "HeadObject": 1}
    assert server.get(f"{base}/stderr.log/bytes?offset=-5").headers["x-log-size"] == "0"


def test_an_unchanged_part_is_not_read_again(scene: Scene, serve: Serve) -> None:
    part = f"/executions/{scene.put_execution(files={'logs/stdout.log': LOG})}/logs/stdout"
    part += "/bytes?offset=-200000"
    server = serve()
    plain = server.get(part)
    packed = server.get(part, headers={"Accept-Encoding": "gzip"}, decode_content=False)
    assert len(packed.data) < len(plain.data) / 2
    assert gzip.decompress(packed.data) == plain.data == LOG[-200_000:]
    etags = [plain.headers["etag"], packed.headers["etag"]]
    assert etags[0] != etags[1]
    assert not etags[0].startswith("W/")
    scene.recorder.clear()
    again = server.get(part, headers={"If-None-Match": etags[0]})
    assert (again.status, again.data, scene.recorder.count()) == (304, b"", 0)
    assert server.get(part, headers={"If-None-Match": etags[1]}).status == 200
    problem(server.get(part.replace("-200000", "x")), 400, "usage")
    problem(server.get(part.replace("stdout", "nothing")), 404, "not-found")


def test_reading_an_archived_log_explains_the_restore(scene: Scene, serve: Serve) -> None:
    execution_id = scene.put_execution()
    key = f"executions/{execution_id}/logs/stdout.log"
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"x" * 5000, StorageClass="DEEP_ARCHIVE")
    response = serve().get(f"/executions/{execution_id}/logs/stdout/bytes")
    assert "orchestrator restore" in problem(response, 409, "archived")["hint"]
