"""Links to pages, and the indexes that make them fast."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator_cli.api.upload_service import UploadService
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.gateway.server.put_signer import PutSigner
from tests.support.commands.running import Processes
from tests.support.commands.via import Via
from tests.support.proxy.faults import Answer
from tests.support.scene import Scene
from tests.support.stored.engine import open_store

PAGES = "https://tests.example/orchestrator"


def test_a_link_for_a_person_leads_to_the_page(
    scene: Scene, cli_process: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    made = scene.cli("--ui-url", f"{PAGES}/", "new").ok()
    execution_id = made.out.strip()
    page = f"{PAGES}/ui/executions/{execution_id}"
    assert page in made.err
    scene.s3.put_object(
        Bucket=scene.bucket, Key=f"executions/{execution_id}/logs/stdout.log", Body=b"x"
    )
    assert "--ui-url is not set" in scene.cli("open", execution_id).expect(2).err
    monkeypatch.setenv("ORCHESTRATOR_UI_URL", PAGES)
    assert scene.cli("open", execution_id).ok().out == f"{page}\n"
    assert scene.cli("open", execution_id, "stdout.log").ok().out == f"{page}/logs/stdout\n"
    assert "did you mean stdout" in scene.cli("open", execution_id, "stdot").expect(4).err
    assert scene.cli("url", execution_id, "--ui").ok().out == f"{page}\n"
    told = json.loads(scene.cli("url", execution_id, "stdout", "--ui", "--json").ok().out)
    assert told == {"execution_id": execution_id, "log": "stdout", "url": f"{page}/logs/stdout"}
    lines = scene.cli("url", execution_id, "--format", "markdown").ok().out.splitlines()
    assert lines[0] == f"- [execution {execution_id}](<{page}>)"
    assert lines[1].startswith("- [logs/stdout.log](<http")
    assert f"\npage\t{page}\n" in scene.cli("show", execution_id).ok().out
    stored = scene.cli("upload", execution_id, "-", "--name", "custom/a.txt", stdin=b"a").ok().err
    assert stored.endswith(f"\n{page}\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(scene.directory / "summary"))
    assert page in scene.cli("finish", execution_id, "--result", "pass").ok().err
    summary = (scene.directory / "summary").read_text(encoding="utf-8")
    assert f"| [{execution_id}](<{page}>) | " in summary
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert "/ui/executions/" in cli_process.run("run", "--", "true").ok().err.splitlines()[-1]
    ran = cli_process.run("run", "--", "sh", "-c", "exit 3").expect(3)
    assert f"to see why: {PAGES}/ui/executions/" in ran.err
    wrong = scene.cli(
        "--ui-url", "x", "upload", execution_id, "-", "--name", "custom/b.txt", stdin=b"b"
    )
    assert "warning: " in wrong.ok().err
    assert (
        "not a URL"
        in scene.cli("--ui-url", "javascript:alert(1)", "open", execution_id).expect(2).err
    )


def test_an_index_says_where_lines_and_errors_are(scene: Scene) -> None:
    log = b"".join(b"%07d\n" % number for number in range(200_000))
    log = log[:800_000] + b"ERROR: no answer\n" + log[800_000:]
    execution_id = scene.put_execution(
        files={"logs/stdout.log": log, "logs/stderr.log": b"0 errors"}
    )
    told = [
        json.loads(line)
        for line in scene.cli("index", execution_id, "--json").ok().out.splitlines()
    ]
    assert [(one["log"], one["line_count"], one["error_count"]) for one in told] == [
        ("stdout", 200_001, 1),
        ("stderr", 0, 0),
    ]
    base = f"derived/{execution_id}"
    stored = scene.s3.get_object(Bucket=scene.bucket, Key=f"{base}/logs/stdout.log.json.gz")[
        "Body"
    ].read()
    index = json.loads(gzip.decompress(stored))
    assert index["errors"] == [{"offset": 800_000, "line": 100_000}]
    middle = index["points"][1]
    assert middle == {"offset": 1024**2, "line": log[: 1024**2].count(b"\n")}
    tail = scene.s3.get_object(Bucket=scene.bucket, Key=f"{base}/tail/stdout.log")["Body"].read()
    assert tail == log[-65536:]
    # Another log by that name, as after a repair: the index follows it.
    scene.s3.put_object(
        Bucket=scene.bucket, Key=f"executions/{execution_id}/logs/stdout.log", Body=b"one\n"
    )
    assert "1 line," in scene.cli("index", execution_id).ok().err
    tail = scene.s3.get_object(Bucket=scene.bucket, Key=f"{base}/tail/stdout.log")["Body"].read()
    assert tail == b"one\n"


@pytest.mark.parametrize("size_bytes", [300_000, 9 * 1024**2])
def test_what_stores_a_log_indexes_it(
    scene: Scene, cli_process: Processes, via: Via, size_bytes: int
) -> None:
    log = scene.directory / "stdout.log"
    log.write_bytes(b"%07d\n" * (size_bytes // 8) % tuple(range(size_bytes // 8)) + b"Error\n")
    (scene.directory / "stderr.log").write_bytes(b"Error: small\n")
    fed = scene.cli("new").ok().out.strip()
    scene.cli("upload", fed, "-", "--name", "logs/stdout.log", stdin=log.read_bytes()).ok()
    uploaded = scene.cli("new").ok().out.strip()
    scene.cli("upload", uploaded, str(log), str(scene.directory / "stderr.log")).ok()
    ran = cli_process.run("run", "--", "cat", str(log)).ok().err.split()
    sent = scene.cli("new").ok().out.strip()
    scene.cli("upload", sent, str(log), *via.options, env=via.env).ok()
    piped = scene.cli("new").ok().out.strip()
    arguments = ("upload", piped, "-", "--name", "logs/stdout.log", *via.options)
    scene.cli(*arguments, stdin=log.read_bytes(), env=via.env).ok()
    executions = [uploaded, sent, fed, piped, next(word for word in ran if len(word) == 26)]
    for execution_id in executions:
        written = derived(scene, execution_id)
        # As `index` computes it, from what is stored. A small log needs none.
        assert list(written) == ["logs/stdout.log.json.gz", "tail/stdout.log"]
        scene.cli("index", execution_id).ok()
        again = derived(scene, execution_id)
        assert {name: again[name] for name in written} == written
        index = json.loads(gzip.decompress(written["logs/stdout.log.json.gz"]))
        assert len(index["errors"]) == 1
        # Only of a stream anybody has seen when its bytes arrived; a short run may be over before.
        times = [point["time_ms"] for point in index["points"] if "time_ms" in point]
        if execution_id != executions[-1]:
            assert len(times) == (len(index["points"]) if execution_id in (fed, piped) else 0)
        assert times == sorted(times)
    # A token can say nothing of another log, nor replace what is known of this one.
    known = derived(scene, sent)
    right = known["logs/stdout.log.json.gz"]
    wrong = gzip.compress(json.dumps(json.loads(gzip.decompress(right)) | {"errors": []}).encode())
    for execution_id, body, status in ((sent, wrong, 200), (fed, right[:-1], 400), (fed, b"", 400)):
        path = f"/executions/{execution_id}/uploads/index/stdout"
        assert via.server.get(path, "PUT", body=body, headers=via.bearer).status == status
    assert derived(scene, sent) == known
    path = f"/executions/{sent}/uploads/index/stderr"
    assert via.server.get(path, "PUT", body=right, headers=via.bearer).status == 404
    # Nor of one that was stored long ago, as by somebody else.
    tomorrow = datetime.now(UTC) + timedelta(days=1, hours=1)
    store = open_store(scene.bucket)
    late = UploadService(store, PutSigner(store, lambda: tomorrow, 60))
    with pytest.raises(UsageError, match="over a day ago"):
        late.put_index(fed, None, "stdout", b"")
    # Who may not store it stores the log all the same.
    scene.recorder.inject(
        Answer(403, "AccessDenied"), operation="PutObject", key="derived/", times=None
    )
    denied = scene.cli("new").ok().out.strip()
    scene.cli("upload", denied, str(log)).ok()
    assert not derived(scene, denied)


def test_a_log_that_is_resumed_is_indexed_whole(scene: Scene) -> None:
    log = scene.directory / "stdout.log"
    log.write_bytes(b"%07d\n" * (3 * 1024**2) % tuple(range(3 * 1024**2)))
    execution_id = scene.cli("new").ok().out.strip()
    scene.recorder.inject(Answer(403, "AccessDenied"), operation="UploadPart", nth=3)
    scene.cli("upload", execution_id, str(log)).expect(5)
    assert "resumed" in scene.cli("upload", execution_id, str(log)).ok().err
    written = derived(scene, execution_id)
    scene.cli("index", execution_id).ok()
    assert written
    assert derived(scene, execution_id) == written


def derived(scene: Scene, execution_id: str) -> dict[str, bytes]:
    """Return what is stored below derived/ for an execution, by name."""
    prefix = f"derived/{execution_id}/"
    found = scene.contents(prefix)
    return {key.removeprefix(prefix): data for key, data in found.items()}
