"""What is said when things fail: one summary, valid JSON, the way on, and never a secret."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shlex
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.commands import CASES, LARGE, Case, CommandScene, check_success
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes, Result
from tests.support.commands.secrets import check_no_secrets
from tests.support.proxy import faults

REQUEST_ID = "FAULT0000000001"


# --- the summary -----------------------------------------------------------------------------


@pytest.fixture
def tree(scene: CommandScene) -> Path:
    return scene.write_tree({f"{number:02d} file.txt": f"{number}" for number in range(12)})


def spoil(scene: CommandScene, execution_id: str) -> None:
    """Let three of the tree's files fail, each for another reason."""
    scene.put_file(execution_id, "artifacts/custom/01 file.txt", b"other")
    scene.recorder.inject(
        faults.Answer(400, "InvalidRequest", "No such thing."), "PutObject", key="05 file.txt$"
    )
    scene.recorder.inject(
        faults.Answer(400, "KMS.DisabledException"), "PutObject", key="11 file.txt$"
    )


def test_failures_are_summed_up_at_the_end(scene: CommandScene, tree: Path) -> None:
    """Each failed file with its reason and request id, after all else; then how to go on."""
    execution_id = scene.make_execution()
    spoil(scene, execution_id)
    result = scene.cli("-v", "upload", execution_id, tree).expect(3)
    lines = result.err.splitlines()
    failed = [line for line in lines if line.startswith("failed: ")]
    assert len(failed) == 3
    start = lines.index(failed[0])
    assert lines[start : start + 3] == failed
    assert lines[start + 3] == "error: 3 of 12 files could not be stored"
    assert lines[start + 4].startswith("hint: ")
    assert lines[start + 5 :] == [
        f"  orchestrator -v upload {execution_id} {shlex.quote(str(tree))}"
    ]
    assert sum("created: " in line for line in lines[:start]) == 9
    by_name = {re.search(r"\d\d file", line)[0]: line for line in failed}  # type: ignore[index]
    assert "the key holds other content" in by_name["01 file"]
    for name, reason in (("05 file", "InvalidRequest"), ("11 file", "KMS.DisabledException")):
        assert reason in by_name[name]
        assert f"[request id {REQUEST_ID}]" in by_name[name]


def test_failures_are_listed_also_where_all_ends_early(scene: CommandScene, tree: Path) -> None:
    execution_id = scene.make_execution()
    spoil(scene, execution_id)
    scene.recorder.inject(faults.slow_down(), "GetObject", key="metadata.json$", nth=2, times=None)
    result = scene.cli("upload", execution_id, tree).expect(9)
    lines = result.err.splitlines()
    assert [line[:7] for line in lines] == ["failed:"] * 3 + ["error: ", "hint: r", "  orche"]
    assert f"503 SlowDown [request id {REQUEST_ID}]" in lines[3]


def test_the_command_that_resumes_can_be_copied(scene: CommandScene) -> None:
    execution_id = scene.make_execution()
    tree = scene.write_tree({"it's $HOME.txt": b"1"}, root="a tree; with 'quotes'")
    scene.recorder.inject(faults.slow_down(), "PutObject", times=None)
    result = scene.cli("upload", execution_id, tree, "--exclude", "* no*").expect(9)
    program, *arguments = shlex.split(result.err.splitlines()[-1])
    assert program == "orchestrator"
    scene.recorder.heal()
    scene.cli(*arguments).ok()
    assert scene.files(execution_id)["artifacts/custom/it's $HOME.txt"] == b"1"


def test_a_download_sums_up_too(scene: CommandScene) -> None:
    files = {f"artifacts/custom/{number:02d}.txt": b"%d" % number for number in range(12)}
    execution_id = scene.make_execution(files)
    fault = faults.Answer(400, "InvalidRequest", "No such thing.")
    scene.recorder.inject(fault, "GetObject", key="05.txt$")
    scene.recorder.inject(fault, "GetObject", key="07.txt$")
    command = ("-v", "download", execution_id, "-o", scene.directory / "out")
    lines = scene.cli(*command).expect(3).err.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("failed: "))
    # Another try would be answered alike, so that none is advised.
    assert [line[:7] for line in lines[start:]] == [*["failed:"] * 2, "error: ", "hint: s"]
    assert all(f"[request id {REQUEST_ID}]" in line for line in lines[start : start + 2])


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("command", ["upload-small", "upload-large", "stream", "finish", "logs"])
def test_one_error_says_what_failed_and_how_to_go_on(scene: CommandScene, command: str) -> None:
    case = CASES[command](scene)
    operation = {"logs": "GetObject", "finish": "ListObjectsV2"}.get(command, "PutObject")
    operation = "UploadPart" if command in ("upload-large", "stream") else operation
    reads = command in ("finish", "logs")
    # The record can be written: it says what is missing.
    key = "" if reads else r"/(artifacts|logs)/"
    scene.recorder.inject(faults.slow_down(), operation, key=key, times=None)
    result = scene.cli(*case.arguments, stdin=case.stdin).expect(9)
    first, *rest = result.err.splitlines()
    assert case.execution_id in first
    assert "503 SlowDown" in first
    assert f"[request id {REQUEST_ID}]" in first
    if reads:
        assert rest == ["hint: it may pass: try again in a moment"]
    else:
        assert first.startswith("failed: ")
        *_, summary, hint, way_on = rest
        assert summary.startswith("error: ")
        assert summary.endswith("could not be stored")
        assert hint == "hint: run the same command again: it resumes"
        assert shlex.split(way_on) == ["orchestrator", *map(str, case.arguments)]
    scene.recorder.heal()
    check_success(scene, case, scene.cli(*case.arguments, stdin=case.stdin), "healed")


def test_the_request_id_is_told_also_where_no_xml_comes(scene: CommandScene) -> None:
    """As of a load balancer in front of S3, for a part that goes by a presigned URL."""
    case = CASES["upload-large"](scene)

    class Page(faults.Fault):
        def request_head(self, waiting: faults.Waiting) -> None:
            raise faults.Answered(503, b"<html>busy", {"x-amz-request-id": "BALANCER01"})

    scene.recorder.inject(Page(), "UploadPart", times=None)
    assert "[request id BALANCER01]" in scene.cli(*case.arguments).expect(9).err


# --- JSON ------------------------------------------------------------------------------------

JSON_FAULTS = {
    "unavailable": faults.slow_down(),
    "denied": faults.access_denied(),
    "reset": faults.ResetAfter(),
    "refused": faults.Answer(400, "InvalidRequest"),
    "not-xml": faults.Answer(502, "</Code><html>"),
}


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("fault", JSON_FAULTS)
@pytest.mark.parametrize("command", ["new", "upload-small", "upload-large", "stream", "finish"])
def test_json_stays_json_under_every_error(scene: CommandScene, command: str, fault: str) -> None:
    """Standard output holds objects, one a line, or nothing."""
    for nth in range(1, 20):
        case = CASES[command](scene)
        scene.recorder.inject(JSON_FAULTS[fault], nth=nth, times=None)
        result = scene.cli("-v", *case.arguments, "--json", stdin=case.stdin)
        scene.recorder.heal()
        check_json(result)
        if result.exit_code == 0:
            return  # fewer requests than that
    pytest.fail("it never succeeded")


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("fault", JSON_FAULTS)
@pytest.mark.parametrize("command", [("download",), ("ls",), ("show",), ("verify",)])
def test_json_of_reading_commands_stays_json(
    scene: CommandScene, command: tuple[str, ...], fault: str
) -> None:
    for nth in range(1, 20):
        scene.recorder.inject(JSON_FAULTS[fault], nth=nth, times=None)
        result = scene.cli("-v", *command, scene.kept_execution(), "--json")
        scene.recorder.heal()
        check_json(result)
        if result.exit_code == 0:
            return
    pytest.fail("it never succeeded")


def check_json(result: Result) -> None:
    check_no_secrets(result)
    lines = result.json_lines()
    assert all(isinstance(line, dict) for line in lines)
    assert result.stdout.endswith(b"\n") or not result.stdout
    assert "Traceback" not in result.err
    assert (result.err.count("error: ") == 1) == (result.exit_code not in (0, 130))


def test_json_and_all_else_are_kept_apart(scene: CommandScene, tree: Path) -> None:
    """Skipped, failed and stored files at once, with everything that can be said."""
    execution_id = scene.make_execution()
    spoil(scene, execution_id)
    os.mkfifo(tree / "pipe")
    (tree / "bad\nname").write_bytes(b"x")
    result = scene.cli("-v", "--debug", "upload", execution_id, tree, "--json").expect(3)
    outcomes = sorted(line["outcome"] for line in result.json_lines())
    assert outcomes == ["conflict"] + ["created"] * 9 + ["failed"] * 3 + ["skipped"]
    reasons = [line["error"] for line in result.json_lines() if line["outcome"] != "created"]
    assert all(reasons)


# --- interrupted while it writes -------------------------------------------------------------


@pytest.fixture
def long_lines(tmp_path: Path) -> Path:
    """A tree so deep that a line about one of its files is longer than a small pipe."""
    tree = tmp_path.joinpath(*["d" * 200] * 16)
    tree.mkdir(parents=True)
    for number in range(4):
        (tree / f"{'n' * 200}-{number}.txt").write_bytes(b"%d" % number)
    return tree


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_its_last_line(
    scene: CommandScene, forks: ForkServer, long_lines: Path, number: signal.Signals
) -> None:
    """The reader is slow: the signal comes in the middle of a line."""
    execution_id = scene.make_execution()
    with small_pipe() as (reader, writer):
        child = forks.start(
            "upload",
            execution_id,
            long_lines,
            "--json",
            stdout=writer,
            constants={"orchestrator_cli.cli.report.error_report._LAST_LINE_SECONDS": 60},
        )
        os.close(writer)
        wait_until_full(reader)
        child.signal(number)
        with open(reader, "rb", closefd=False) as output:
            text = output.read()
    result = child.wait().expect(130)
    assert text.endswith(b"\n")
    records = [json.loads(line) for line in text.splitlines()]
    assert {record["outcome"] for record in records} == {"created"}
    again = shlex.split(result.err.splitlines()[-1])
    assert again == ["orchestrator", "upload", execution_id, str(long_lines), "--json"]
    forks.run(*again[1:]).ok()


def test_a_reader_that_never_reads_does_not_keep_it(
    scene: CommandScene, forks: ForkServer, long_lines: Path
) -> None:
    """One signal is enough, also where the rest of the line cannot be written."""
    with small_pipe() as (reader, writer):
        child = forks.start(
            "upload",
            scene.make_execution(),
            long_lines,
            "--json",
            stdout=writer,
            constants={"orchestrator_cli.cli.report.error_report._LAST_LINE_SECONDS": 0.1},
        )
        os.close(writer)
        wait_until_full(reader)
        child.signal(signal.SIGTERM)
        child.wait().expect(130)


@contextlib.contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page; the caller closes the writing end."""
    reader, writer = os.pipe()
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("the size of a pipe cannot be chosen here")
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reader, writer
    finally:
        os.close(reader)


def wait_until_full(descriptor: int) -> None:
    """Wait until a page can be read, so that who writes more than that is stuck."""
    ended = select.poll()
    ended.register(descriptor, 0)
    waiting = bytearray(4)
    while int.from_bytes(waiting, sys.byteorder) < 4096:
        assert not ended.poll(10), "the writer has ended"
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting)


# --- secrets ---------------------------------------------------------------------------------

TOKEN = "theSessionTokenThatNobodyMaySee//=="
SECRET = "theSecretKeyThatNobodyMaySee"
SESSION = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
# What S3 says of a signature that does not match, and of a token that is not valid.
TELLING = (
    f"No.</Message><StringToSign>AWS4-HMAC-SHA256 x-amz-security-token:{TOKEN}</StringToSign>"
    f"<CanonicalRequest>PUT /k?X-Amz-Security-Token={TOKEN}&amp;X-Amz-Signature=0f0f0f"
    f"</CanonicalRequest><Token-0>{TOKEN}</Token-0><SignatureProvided>0f0f0f</SignatureProvided>"
    "<Message>"
)
LEAKS: dict[str, faults.Fault] = {
    "signature": faults.Answer(403, "SignatureDoesNotMatch", TELLING),
    "token": faults.Answer(400, "InvalidToken", TELLING),
    "expired": faults.Answer(400, "ExpiredToken", TELLING),
    "invalid": faults.Answer(400, "InvalidRequest", TELLING),
    "message": faults.Answer(
        400, "InvalidRequest", f"http://h/k?X-Amz-Security-Token={TOKEN}&amp;X-Amz-Signature=0f0f"
    ),
    "busy": faults.Answer(503, "SlowDown", TELLING),
    "reset": faults.ResetBefore(),
    "cut": faults.TruncateAnswer(1),
}
OPERATIONS = {
    "upload-large": ["ListMultipartUploads", "UploadPart", "CompleteMultipartUpload", "HeadObject"],
    "upload-small": ["PutObject"],
    "finish": ["GetObject", "PutObject"],
    "download": ["ListObjectsV2", "GetObject"],
    "logs": ["HeadObject", "GetObject"],
}


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("command", OPERATIONS)
def test_no_output_gives_access(scene: CommandScene, command: str, leak: str) -> None:
    """Not with --debug either, whatever the server tells of our own request."""
    for operation in OPERATIONS[command]:
        case = CASES[command](scene)
        scene.recorder.inject(LEAKS[leak], operation, times=None)
        result = scene.cli("-v", "--debug", *case.arguments, env=SESSION)
        scene.recorder.heal()
        check_no_secrets(result, SECRET, TOKEN, "0f0f")
        if result.exit_code != 0 and "failed: " not in result.err:
            assert "Traceback" in result.err  # it is where a secret could be


@pytest.mark.parametrize("command", OPERATIONS)
def test_without_a_server_nothing_secret_is_printed(scene: CommandScene, command: str) -> None:
    case = CASES[command](scene)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", **SESSION}
    result = scene.cli("-v", "--debug", *case.arguments, env=nowhere).expect(9)
    check_no_secrets(result, SECRET, TOKEN)
    assert "connection refused" in result.err


def test_a_stalled_part_tells_nothing(scene: CommandScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_cli.core.s3.connection.session.STALL_TIMEOUT_SECONDS", 0.3)
    case = CASES["upload-large"](scene)
    scene.recorder.inject(faults.Stall(), "UploadPart", times=None)
    result = scene.cli("-v", "--debug", *case.arguments, env=SESSION).expect(9)
    check_no_secrets(result, SECRET, TOKEN)
    assert "did not answer in time" in result.err


def test_a_whole_process_says_the_same(scene: CommandScene, cli_process: Processes) -> None:
    """Not forked, not in this process: as people run it."""
    path = scene.directory / "trace.pcap"
    path.write_bytes(LARGE)
    execution_id = scene.make_execution()
    scene.recorder.inject(faults.Answer(403, "SignatureDoesNotMatch", TELLING), "PutObject")
    result = cli_process.run("--debug", "upload", execution_id, path, env=SESSION).expect(5)
    check_no_secrets(result, SECRET, TOKEN)
    scene.recorder.heal()
    expected = {"artifacts/traces/trace.pcap": LARGE}
    case = Case(execution_id, ("upload", execution_id, path), expected)
    check_success(scene, case, cli_process.run(*case.arguments), "healed")
