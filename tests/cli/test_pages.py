"""Links to pages, and the indexes that make them fast."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.api.upload_service import UploadService
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.gateway.server.put_signer import PutSigner
from orchestrator_cli.core.s3.bucket.presign import Presigner
from tests.support.engine import open_store
from tests.support.executions import put_execution
from tests.support.faults import Answer
from tests.support.proxy import Proxy
from tests.support.running import Processes, RunCommand
from tests.support.via import Via

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGES = "https://tests.example/orchestrator"


def test_a_link_for_a_person_leads_to_the_page(
    cli: RunCommand,
    cli_process: Processes,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    made = cli("--ui-url", f"{PAGES}/", "new").ok()
    execution_id = made.out.strip()
    page = f"{PAGES}/ui/executions/{execution_id}"
    assert page in made.err
    s3.put_object(Bucket=bucket, Key=f"executions/{execution_id}/logs/stdout.log", Body=b"x")
    assert "--ui-url is not set" in cli("open", execution_id).expect(2).err
    monkeypatch.setenv("ORCHESTRATOR_UI_URL", PAGES)
    assert cli("open", execution_id).ok().out == f"{page}\n"
    assert cli("open", execution_id, "stdout.log").ok().out == f"{page}/logs/stdout\n"
    assert "did you mean stdout" in cli("open", execution_id, "stdot").expect(4).err
    assert cli("url", execution_id, "--ui").ok().out == f"{page}\n"
    told = json.loads(cli("url", execution_id, "stdout", "--ui", "--json").ok().out)
    assert told == {"execution_id": execution_id, "log": "stdout", "url": f"{page}/logs/stdout"}
    lines = cli("url", execution_id, "--format", "markdown").ok().out.splitlines()
    assert lines[0] == f"- [execution {execution_id}](<{page}>)"
    assert lines[1].startswith("- [logs/stdout.log](<http")
    assert f"\npage\t{page}\n" in cli("show", execution_id).ok().out
    stored = cli("upload", execution_id, "-", "--name", "custom/a.txt", stdin=b"a").ok().err
    assert stored.endswith(f"\n{page}\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    assert page in cli("finish", execution_id, "--result", "pass").ok().err
    summary = (tmp_path / "summary").read_text(encoding="utf-8")
    assert f"| [{execution_id}](<{page}>) | " in summary
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert "/ui/executions/" in cli_process.run("run", "--", "true").ok().err.splitlines()[-1]
    ran = cli_process.run("run", "--", "sh", "-c", "exit 3").expect(3)
    assert f"to see why: {PAGES}/ui/executions/" in ran.err
    wrong = cli("--ui-url", "x", "upload", execution_id, "-", "--name", "custom/b.txt", stdin=b"b")
    assert "warning: " in wrong.ok().err
    assert "not a URL" in cli("--ui-url", "javascript:alert(1)", "open", execution_id).expect(2).err


def test_an_index_says_where_lines_and_errors_are(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    log = b"".join(b"%07d\n" % number for number in range(200_000))
    log = log[:800_000] + b"ERROR: no answer\n" + log[800_000:]
    execution_id = put_execution(
        s3, bucket, files={"logs/stdout.log": log, "logs/stderr.log": b"0 errors"}
    )
    told = [json.loads(line) for line in cli("index", execution_id, "--json").ok().out.splitlines()]
    assert [(one["log"], one["line_count"], one["error_count"]) for one in told] == [
        ("stdout", 200_001, 1),
        ("stderr", 0, 0),
    ]
    base = f"derived/{execution_id}"
    stored = s3.get_object(Bucket=bucket, Key=f"{base}/logs/stdout.log.json.gz")["Body"].read()
    index = json.loads(gzip.decompress(stored))
    assert index["errors"] == [{"offset": 800_000, "line": 100_000}]
    middle = index["points"][1]
    assert middle == {"offset": 1024**2, "line": log[: 1024**2].count(b"\n")}
    tail = s3.get_object(Bucket=bucket, Key=f"{base}/tail/stdout.log")["Body"].read()
    assert tail == log[-65536:]
    # Another log by that name, as after a repair: the index follows it.
    s3.put_object(Bucket=bucket, Key=f"executions/{execution_id}/logs/stdout.log", Body=b"one\n")
    assert "1 line," in cli("index", execution_id).ok().err
    tail = s3.get_object(Bucket=bucket, Key=f"{base}/tail/stdout.log")["Body"].read()
    assert tail == b"one\n"


@pytest.mark.parametrize("size_bytes", [300_000, 9 * 1024**2])
def test_what_stores_a_log_indexes_it(
    cli: RunCommand,
    cli_process: Processes,
    recorder: Proxy,
    via: Via,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    size_bytes: int,
) -> None:
    log = tmp_path / "stdout.log"
    log.write_bytes(b"%07d\n" * (size_bytes // 8) % tuple(range(size_bytes // 8)) + b"Error\n")
    (tmp_path / "stderr.log").write_bytes(b"Error: small\n")
    fed = cli("new").ok().out.strip()
    cli("upload", fed, "-", "--name", "logs/stdout.log", stdin=log.read_bytes()).ok()
    uploaded = cli("new").ok().out.strip()
    cli("upload", uploaded, str(log), str(tmp_path / "stderr.log")).ok()
    ran = cli_process.run("run", "--", "cat", str(log)).ok().err.split()
    sent = cli("new").ok().out.strip()
    cli("upload", sent, str(log), *via.options, env=via.env).ok()
    piped = cli("new").ok().out.strip()
    arguments = ("upload", piped, "-", "--name", "logs/stdout.log", *via.options)
    cli(*arguments, stdin=log.read_bytes(), env=via.env).ok()
    executions = [uploaded, sent, fed, piped, next(word for word in ran if len(word) == 26)]
    for execution_id in executions:
        written = derived(s3, bucket, execution_id)
        # As `index` computes it, from what is stored. A small log needs none.
        assert list(written) == ["logs/stdout.log.json.gz", "tail/stdout.log"]
        cli("index", execution_id).ok()
        again = derived(s3, bucket, execution_id)
        assert {name: again[name] for name in written} == written
        index = json.loads(gzip.decompress(written["logs/stdout.log.json.gz"]))
        assert len(index["errors"]) == 1
        # Only of a stream anybody has seen when its bytes arrived; a short run may be over before.
        times = [point["time_ms"] for point in index["points"] if "time_ms" in point]
        if execution_id != executions[-1]:
            assert len(times) == (len(index["points"]) if execution_id in (fed, piped) else 0)
        assert times == sorted(times)
    # A token can say nothing of another log, nor replace what is known of this one.
    known = derived(s3, bucket, sent)
    right = known["logs/stdout.log.json.gz"]
    wrong = gzip.compress(json.dumps(json.loads(gzip.decompress(right)) | {"errors": []}).encode())
    for execution_id, body, status in ((sent, wrong, 200), (fed, right[:-1], 400), (fed, b"", 400)):
        path = f"/executions/{execution_id}/uploads/index/stdout"
        assert via.server.get(path, "PUT", body=body, headers=via.bearer).status == status
    assert derived(s3, bucket, sent) == known
    path = f"/executions/{sent}/uploads/index/stderr"
    assert via.server.get(path, "PUT", body=right, headers=via.bearer).status == 404
    # Nor of one that was stored long ago, as by somebody else.
    tomorrow = datetime.now(UTC) + timedelta(days=1, hours=1)
    store = open_store(bucket)
    late = UploadService(store, PutSigner(store, Presigner(store), lambda: tomorrow, 60))
    with pytest.raises(UsageError, match="over a day ago"):
        late.put_index(fed, None, "stdout", b"")
    # Who may not store it stores the log all the same.
    recorder.inject(Answer(403, "AccessDenied"), operation="PutObject", key="derived/", times=None)
    denied = cli("new").ok().out.strip()
    cli("upload", denied, str(log)).ok()
    assert not derived(s3, bucket, denied)


def test_a_log_that_is_resumed_is_indexed_whole(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    log = tmp_path / "stdout.log"
    log.write_bytes(b"%07d\n" * (3 * 1024**2) % tuple(range(3 * 1024**2)))
    execution_id = cli("new").ok().out.strip()
    recorder.inject(Answer(403, "AccessDenied"), operation="UploadPart", nth=3)
    cli("upload", execution_id, str(log)).expect(5)
    assert "resumed" in cli("upload", execution_id, str(log)).ok().err
    written = derived(s3, bucket, execution_id)
    cli("index", execution_id).ok()
    assert written
    assert derived(s3, bucket, execution_id) == written


def derived(s3: S3Client, bucket: str, execution_id: str) -> dict[str, bytes]:
    """Return what is stored below derived/ for an execution, by name."""
    prefix = f"derived/{execution_id}/"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    keys = [one["Key"] for one in listed]
    return {
        key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys
    }
