"""`--metrics-push`: totals at a Pushgateway that only grow, and a gateway that decides nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_cli.core.base.errors import REASONS
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import NewUpload, Processes, RunCommand, process_environment
from tests.support.scene import Scene
from tests.support.servers.receiving import Answer, Pushed, Receiver
from tests.support.stored.bench_tree import watching_line
from tests.support.stored.samples import parse_samples

SECRET = "correct-horse-battery"


def value(pushed: Pushed, name: str, **labels: str) -> float:
    return parse_samples(pushed.body.decode())[name, tuple(sorted(labels.items()))]


def totals_directory() -> Path:
    return Path(os.environ["HOME"], ".local/state/orchestrator/metrics")


def created(pushed: Pushed, command: str = "upload") -> float:
    return value(pushed, "artifact_size_bytes_count", command=command, outcome="created")


# --- what is pushed --------------------------------------------------------------------------


def test_totals_of_all_runs_are_pushed(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    for _ in range(3):
        cli(*new_upload("--metrics-push", receiver.url)).ok()
    assert [created(pushed) for pushed in receiver.pushed] == [1, 2, 3]
    for pushed in receiver.pushed:
        assert pushed.method == "PUT"
        assert pushed.path == (
            f"/metrics/job/orchestrator/instance/{socket.gethostname()}/uid/{os.getuid()}"
        )
        assert pushed.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "authorization" not in pushed.headers
        for reason in REASONS.values():
            assert value(pushed, "artifact_failures_total", command="upload", reason=reason) == 0


def test_commands_share_the_totals(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    cli(*new_upload("--metrics-push", receiver.url)).ok()
    Path("efs/bench-01").mkdir(parents=True)
    empty = ("sync-efs", "--root", "efs")
    cli(*empty, env={"ORCHESTRATOR_SYNC_EFS_METRICS_PUSH": receiver.url}).ok()
    cli(*new_upload(), env={"ORCHESTRATOR_UPLOAD_METRICS_PUSH": f"{receiver.url}/"}).ok()
    last = receiver.pushed[2]
    # The gauge of the sync would be gone if a push left it out.
    assert value(last, "efs_sync_backlog_files") == 0
    assert created(last) == 2


def test_the_config_file_can_name_the_gateway(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[upload]\nmetrics-push = "{receiver.url}"\n')
    cli("--config", config, *new_upload()).ok()
    assert created(receiver.pushed[0]) == 1


@pytest.mark.parametrize(
    ("path", "pushed"),
    [
        ("/metrics", "/metrics/job/orchestrator/instance/"),
        ("/behind/a/prefix/", "/behind/a/prefix/metrics/job/orchestrator/instance/"),
        ("/metrics/job/lab/instance/bench-7/", "/metrics/job/lab/instance/bench-7"),
        ("/x/metrics/job@base64/bGFi", "/x/metrics/job/lab"),
        ("/metrics/job/lab/path@base64/L2E", "/metrics/job/lab/path@base64/L2E"),
        ("/metrics/job/a%20b/instance/%C3%BC", "/metrics/job@base64/YSBi/instance/%C3%BC"),
    ],
)
def test_the_group_can_be_named(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, path: str, pushed: str
) -> None:
    cli(*new_upload("--metrics-push", receiver.url + path)).ok()
    assert receiver.pushed[0].path.startswith(pushed)
    assert ("/instance/" in pushed) == ("/instance/" in receiver.pushed[0].path)


def test_each_group_has_totals_of_its_own(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    for bench in ("bench-1", "bench-2", "bench-1"):
        group = f"/metrics/job/lab/instance/{bench}"
        cli(*new_upload("--metrics-push", receiver.url + group)).ok()
    assert [created(pushed) for pushed in receiver.pushed] == [1, 1, 2]


def test_a_failed_upload_is_pushed_too(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    line = new_upload("--metrics-push", receiver.url)
    cli(*line).ok()
    Path(line[2]).write_text("other")
    cli(*line).expect(6)
    conflict = {"command": "upload", "reason": "conflict"}
    assert value(receiver.pushed[1], "artifact_failures_total", **conflict) == 1


def test_a_run_pushes_and_keeps_its_code(
    forks: ForkServer, bucket: str, receiver: Receiver
) -> None:
    line = ("run", "--metrics-push", receiver.url, "--", "sh", "-c", "echo out; exit 7")
    forks.run(*line).expect(7)
    # Standard output, standard error and runner.log.
    assert created(receiver.pushed[0], "run") == 3


def test_a_watch_pushes_after_each_pass(
    scene: Scene, raw: Path, forks: ForkServer, receiver: Receiver
) -> None:
    (raw / "1.txt").write_text("one")
    watching = forks.start(*watching_line(scene.directory / "efs", "--metrics-push", receiver.url))
    receiver.wait_for(3)
    watching.signal(signal.SIGTERM)
    watching.wait(60).expect(0)
    assert {created(pushed, "sync-efs") for pushed in receiver.pushed} == {1}


def test_totals_only_grow_whoever_pushes(
    forks: ForkServer, new_upload: NewUpload, receiver: Receiver
) -> None:
    lines = [new_upload("--metrics-push", receiver.url) for _ in range(4)]
    for pushing in [forks.start(*line) for line in lines]:
        assert "warning" not in pushing.wait().ok().err
    totals = [created(pushed) for pushed in receiver.pushed]
    assert totals == sorted(totals)
    assert totals[-1] == 4


def test_the_totals_are_nobody_elses(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    cli(*new_upload("--metrics-push", receiver.url)).ok()
    assert stat.S_IMODE(totals_directory().stat().st_mode) == 0o700


# --- a gateway that is not as it should be ---------------------------------------------------


def test_a_push_that_fails_is_made_up_for(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    receiver.answers = [Answer(500)]
    assert "answered 500" in cli(*new_upload("--metrics-push", receiver.url)).ok().err
    assert "warning" not in cli(*new_upload("--metrics-push", receiver.url)).ok().err
    assert [created(pushed) for pushed in receiver.pushed] == [1, 2]


def test_a_push_that_another_one_holds_up_is_made_up_for(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_cli.core.metrics.text_file._LOCK_SECONDS", 0.1)
    cli(*new_upload("--metrics-push", receiver.url)).ok()
    (lock,) = totals_directory().glob(".*.push.lock")
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = cli(*new_upload("--metrics-push", receiver.url)).ok()
    assert "another command is pushing" in result.err
    assert len(receiver.pushed) == 1
    cli(*new_upload("--metrics-push", receiver.url)).ok()
    assert created(receiver.pushed[1]) == 3


def test_totals_that_cannot_be_locked_are_a_warning(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    cli(*new_upload("--metrics-push", receiver.url)).ok()
    (lock,) = totals_directory().glob(".*.push.lock")
    lock.unlink()
    lock.mkdir()
    result = cli(*new_upload("--metrics-push", receiver.url)).ok()
    assert f"warning: metrics: cannot push {totals_directory()}" in result.err
    assert "Is a directory" in result.err


def test_trouble_that_goes_on_is_told_once(
    scene: Scene, forks: ForkServer, receiver: Receiver
) -> None:
    receiver.answer = Answer(503)
    line = ("sync-efs", "--root", str(scene.directory), "--watch", "--interval", "50ms")
    (scene.directory / "bench-01").mkdir()
    watching = forks.start(*line, "--metrics-push", receiver.url)
    receiver.wait_for(4)
    watching.signal(signal.SIGTERM)
    err = watching.wait(60).expect(0).stderr
    assert err.count(b"answered 503") == 1


def test_totals_that_cannot_be_kept_are_not_pushed(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.write_text("no directory")
    line = new_upload("--metrics-push", receiver.url)
    result = cli(*line, env={"XDG_STATE_HOME": str(state)}).ok()
    assert f"warning: metrics: no totals can be kept in {state}/orchestrator/metrics" in result.err
    assert not receiver.pushed


# --- what it needs and shows -----------------------------------------------------------------


def test_the_line_that_resumes_leaves_the_password_out(
    scene: Scene, cli_process: Processes, receiver: Receiver
) -> None:
    url = f"http://bench:{SECRET}@{receiver.netloc}"
    line = ("upload", scene.new_execution(), "-", "--name", "stdout.log", "--metrics-push", url)
    uploading = cli_process.start(*line, stdin=subprocess.PIPE)
    assert uploading.stdin is not None
    uploading.stdin.write(b"some output\n" * 100_000)
    uploading.stdin.flush()
    uploading.send_signal(signal.SIGINT)
    _, err = uploading.communicate(timeout=60)
    assert uploading.returncode == 130
    assert b"--metrics-push" in err
    assert f"@{receiver.netloc}".encode() in err
    assert SECRET.encode() not in err
    assert len(receiver.pushed) == 1


def test_a_missing_extra_is_told_before_anything_is_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    before = scene.recorder.count()
    result = scene.cli("upload", "@latest", ".", "--metrics-push", receiver.url).expect(2)
    assert "pip install 'orchestrator-cli[metrics]'" in result.err
    assert scene.recorder.count() == before


def test_pushing_needs_nothing_of_opentelemetry(new_upload: NewUpload, receiver: Receiver) -> None:
    probe = (
        "import sys; from orchestrator_cli.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "loaded = {'opentelemetry', 'requests', 'google.protobuf'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    line = [sys.executable, "-c", probe, *new_upload("--metrics-push", receiver.url)]
    subprocess.run(line, env=process_environment(None), check=True, timeout=100)
    assert len(receiver.pushed) == 1
