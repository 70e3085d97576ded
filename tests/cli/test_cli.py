"""The program as a whole: global options, settings, errors and the codes they become."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator_cli import __version__
from orchestrator_cli.cli import waiting_notice
from orchestrator_cli.cli.main import COMMANDS
from orchestrator_cli.cli.waiting_notice import WaitingNotice
from orchestrator_cli.core.base.errors import EXIT_CODES, UnavailableError
from orchestrator_cli.core.base.retry import Attempts, RetryPolicy
from tests.support.commands.running import COMMAND, Processes, RunCommand, process_environment
from tests.support.proxy.faults import Answer, Fault, Stall, access_denied, wrong_credentials
from tests.support.scene import Scene
from tests.support.stored.engine import impatient
from tests.support.stored.executions import make_id
from tests.support.stored.live import Clock


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port that is taken, and that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- help ------------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_own_help(cli: RunCommand) -> None:
    result = cli("--help").ok()
    assert result.stderr == b""
    assert cli("-h").ok().stdout == result.stdout
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary[:40])}", result.out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_with_examples_and_exit_codes(
    cli: RunCommand, name: str
) -> None:
    result = cli(name, "--help").ok()
    assert result.stderr == b""
    assert re.match(rf"Usage: orchestrator {name} ", result.out)
    examples, _, codes = result.out.partition("\nExit codes:\n")
    assert "\nExamples:\n" in examples or "\nCommands:\n" in examples
    if codes:
        assert {int(code) for code in re.findall(r"^  (\d+)", codes, re.MULTILINE)} <= set(
            EXIT_CODES
        )


def test_version_names_python_libcurl_and_the_endpoint(cli: RunCommand) -> None:
    ours, python, curl, endpoint = cli("--region", "eu-central-1", "--version").ok().lines
    assert ours == f"orchestrator {__version__}"
    assert python.startswith(f"python {platform.python_version()} on ")
    assert re.match(r"libcurl/\d", curl)
    assert endpoint == "endpoint https://s3.eu-central-1.amazonaws.com"
    elsewhere = {"AWS_ENDPOINT_URL": "http://user:secret@127.0.0.1:9"}
    assert cli("--version", env=elsewhere).ok().lines[3] == "endpoint http://…@127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Usage: orchestrator"),
        (["nonsense"], "no such command 'nonsense'"),
        (["--nonsense"], "no such option"),
        (["--color", "sometimes", "ls"], "'sometimes' is not one of"),
        (["show", "a", "b\x1b[31m\x9b"], "unexpected extra argument"),
    ],
)
def test_usage_errors_say_what_and_where_to_look(
    cli: RunCommand, arguments: list[str], said: str
) -> None:
    result = cli(*arguments).expect(2)
    assert result.stdout == b""
    assert said in result.err
    assert not set(result.err) & {"\x1b", "\x9b"}
    assert "hint: " in result.err or "--help" in result.err


# --- settings --------------------------------------------------------------------------------


def test_no_bucket_is_a_usage_error_that_says_how_to_go_on(scene: Scene) -> None:
    for env in ({"ORCHESTRATOR_BUCKET": None}, {"ORCHESTRATOR_BUCKET": ""}):
        for arguments in (["new"], ["ls"], ["show", make_id()], ["upload", make_id(), "."]):
            result = scene.cli(*arguments, env=env).expect(2)
            assert result.stdout == b""
            assert result.err.startswith("error: no bucket is configured\nhint: ")
            assert "ORCHESTRATOR_BUCKET" in result.err
            assert "sandbox" in result.err
    server = {"ORCHESTRATOR_BUCKET": None, "ORCHESTRATOR_VIA": "https://x.example"}
    through_server = "ORCHESTRATOR_VIA is for upload, logs, download, ls, show and url alone"
    assert through_server in scene.cli("verify", make_id(), env=server).expect(2).err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("s3://bucket/prefix", "no key prefix option"),
        ("a/b", "no key prefix option"),
        ("UPPER case", ""),
        ("x\x1b[31m", ""),
    ],
)
def test_what_cannot_be_a_bucket_is_a_usage_error(scene: Scene, name: str, said: str) -> None:
    result = scene.cli("--bucket", name, "ls").expect(2)
    assert said in result.err
    assert "\x1b" not in result.err
    assert "unexpected" not in result.err


def test_a_bucket_may_be_written_as_a_url(scene: Scene) -> None:
    scene.cli("--bucket", f"s3://{scene.bucket}/", "ls").ok()


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    scene: Scene, config: Callable[[str], Path]
) -> None:
    execution_id = scene.put_execution(make_id(), {"logs/stdout.log": b"x"})
    path = config(f'bucket = "{scene.bucket}"\n[url]\nexpires-in = "3m"\n')
    file = {"ORCHESTRATOR_CONFIG": str(path), "ORCHESTRATOR_BUCKET": None}
    environment = {**file, "ORCHESTRATOR_URL_EXPIRES_IN": "2m"}

    def seconds(*options: str, env: dict[str, str | None] | None = None) -> int:
        result = scene.cli("url", execution_id, "--json", *options, env=env).ok()
        return int(result.json()["expires_in_seconds"])

    assert seconds("--expires-in", "1m", env=environment) == 60
    assert seconds(env=environment) == 120
    assert seconds(env=file) == 180
    assert seconds() == 3600


def test_the_bucket_comes_from_flag_environment_or_file(
    scene: Scene, config: Callable[[str], Path]
) -> None:
    gone = config('bucket = "no-such-bucket-anywhere"\n')
    assert (
        "no such bucket" in scene.cli("--config", gone, "ls", env={"ORCHESTRATOR_BUCKET": None}).err
    )
    scene.cli("--config", gone, "ls").ok()
    other = {"ORCHESTRATOR_BUCKET": "no-such-bucket-anywhere"}
    scene.cli("ls", env=other).expect(4)
    scene.cli("--bucket", scene.bucket, "ls", env=other).ok()
    good = config(f'bucket = "{scene.bucket}"\n')
    scene.cli("--config", good, "ls", env={"ORCHESTRATOR_BUCKET": None}).ok()


@pytest.mark.parametrize("base", ["HOME", "XDG_CONFIG_HOME"])
def test_the_config_file_has_its_place(scene: Scene, base: str) -> None:
    directory = scene.directory / (".config" if base == "HOME" else "") / "orchestrator"
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(f'bucket = "{scene.bucket}"\n')
    env = {"ORCHESTRATOR_BUCKET": None, "ORCHESTRATOR_CONFIG": None, base: str(scene.directory)}
    scene.cli("ls", env=env).ok()
    scene.cli("ls", env={**env, base: str(scene.directory / "elsewhere")}).expect(2)


def test_options_are_configured_by_the_names_that_are_typed(
    scene: Scene, config: Callable[[str], Path]
) -> None:
    execution_id = scene.put_execution(make_id(), {"logs/stdout.log": b"x\ny\n"})
    path = config(
        "quiet = true\n[ls]\njson = true\nsince = 2020-01-01T00:00:00\nuntil = 2099-12-31\n"
        '[url]\nformat = "markdown"\n[logs]\ntail = 1\n[new]\nlabel = ["a=b", "c=d"]\n'
    )
    env = {"ORCHESTRATOR_CONFIG": str(path)}
    assert scene.cli("ls", env=env).ok().json()["execution_id"] == execution_id
    result = scene.cli("url", execution_id, env=env).ok()
    assert result.out.startswith("- [")
    assert result.err == ""
    assert scene.cli("logs", execution_id, env=env).ok().out == "y\n"
    made = scene.cli("new", "--json", env=env).ok().json()
    assert made["labels"] == {"a": "b", "c": "d"}


def test_variables_are_named_as_the_options_that_are_typed(scene: Scene) -> None:
    execution_id = scene.put_execution(make_id(), {"logs/stdout.log": b"x"})
    out = scene.directory / "out"
    assert (
        scene.cli("ls", env={"ORCHESTRATOR_LS_JSON": "1"}).ok().json()["execution_id"]
        == execution_id
    )
    result = scene.cli("url", execution_id, env={"ORCHESTRATOR_URL_FORMAT": "jira"}).ok()
    assert result.out.startswith("* [")
    scene.cli("download", execution_id, env={"ORCHESTRATOR_DOWNLOAD_OUTPUT": str(out)}).ok()
    assert (out / "logs/stdout.log").read_bytes() == b"x"
    made = scene.cli("new", "--json", env={"ORCHESTRATOR_NEW_LABEL": "a=b\nc=d"}).ok().json()
    assert made["labels"] == {"a": "b", "c": "d"}


def test_the_variable_of_an_option_that_can_be_repeated_has_a_value_a_line(scene: Scene) -> None:
    labels = {"ORCHESTRATOR_NEW_LABEL": "why=it is late\nwho=me"}
    made = [
        scene.cli("new", "--suite", suite, env=labels).ok() for suite in ("two words", "two", "one")
    ]
    spaced, _, one = (result.out.strip() for result in made)

    def listed(suites: str) -> set[str]:
        lines = scene.cli("ls", "--json", env={"ORCHESTRATOR_LS_SUITE": suites}).ok().json_lines()
        return {line["execution_id"] for line in lines}

    assert listed("two words") == {spaced}
    assert listed("two words\none") == {spaced, one}
    kept = scene.cli("show", spaced, "--json").ok().json()["labels"]
    assert kept == {"why": "it is late", "who": "me"}
    both = {"ORCHESTRATOR_LS_RESULT": "fail error"}
    assert scene.cli("ls", "--json", env=both).ok().out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bucket = ", "is not valid TOML"),
        ('bukket = "x"', "there is no option 'bukket'"),
        ('[ls]\nsins = "2d"', "[ls] has no option 'sins'"),
        ("[nonsense]\nx = 1", "there is no command 'nonsense'"),
        ("[ls.deeper]\nx = 1", "[ls] has no option 'deeper'"),
        ("[bucket]\nx = 1", "there is no command 'bucket'"),
        ('"\\u001b[31m" = 1', "there is no option"),
        ('color = "purple"', "'purple' is not one of"),
        ('quiet = "perhaps"', "not a valid boolean"),
        ('[ls]\nsince = "whenever"', "is not a time"),
    ],
)
def test_a_config_file_that_is_wrong_says_where(
    scene: Scene, config: Callable[[str], Path], text: str, said: str
) -> None:
    result = scene.cli("--config", config(text), "ls").expect(2)
    assert result.stdout == b""
    assert said in result.err
    assert "\x1b" not in result.err


def test_a_config_file_that_is_named_must_be_there(cli: RunCommand, tmp_path: Path) -> None:
    result = cli("--config", tmp_path / "gone.toml", "ls").expect(2)
    assert "cannot read" in result.err
    assert "gone.toml: No such file" in result.err
    cli("--config", tmp_path, "ls").expect(2)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in cli("--config", tmp_path / "binary", "ls").expect(2).err


def test_the_endpoint_and_region_may_be_options(
    cli: RunCommand, s3env: dict[str, str], closed_port: str
) -> None:
    env = {"AWS_ENDPOINT_URL": closed_port, "AWS_REGION": None, "AWS_DEFAULT_REGION": None}
    endpoint = s3env["AWS_ENDPOINT_URL"]
    cli("--endpoint-url", endpoint, "--region", "eu-central-1", "ls", env=env).ok()
    cli("ls", env={**env, "ORCHESTRATOR_ENDPOINT_URL": endpoint}).ok()
    cli("ls", env={**env, "AWS_ENDPOINT_URL_S3": endpoint}).ok()


@pytest.mark.parametrize("url", ["nonsense", "http://", "127.0.0.1:9000", "ftp://x"])
def test_what_is_no_endpoint_is_a_usage_error(scene: Scene, url: str) -> None:
    result = scene.cli("--endpoint-url", url, "ls").expect(2)
    assert "endpoint" in result.err


# --- credentials -----------------------------------------------------------------------------

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def test_a_profile_that_is_not_there_is_named(scene: Scene) -> None:
    for result in (
        scene.cli("--profile", "nobody", "ls").expect(5),
        scene.cli("ls", env={"AWS_PROFILE": "nobody"}).expect(5),
        scene.cli("ls", env={"ORCHESTRATOR_PROFILE": "nobody"}).expect(5),
    ):
        assert result.stdout == b""
        assert "the profile 'nobody' is not configured" in result.err
        assert "AWS_PROFILE" in result.err


def test_a_profile_gives_its_credentials(scene: Scene) -> None:
    file = scene.directory / "credentials"
    file.write_text("[bench]\naws_access_key_id = from-profile\naws_secret_access_key = x\n")
    env = {**NO_KEYS, "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    scene.cli("--profile", "bench", "ls", env=env).ok()
    signed = scene.recorder.calls()[0].request.headers["authorization"]
    assert "Credential=from-profile/" in signed


def test_no_credentials_are_an_access_error_that_says_how_to_set_them(scene: Scene) -> None:
    for arguments in (["ls"], ["show", make_id()], ["url", make_id()], ["new"]):
        result = scene.cli(*arguments, env=NO_KEYS).expect(5)
        assert result.stdout == b""
        assert "error: no AWS credentials found" in result.err
        assert "AWS_ACCESS_KEY_ID" in result.err


def test_half_of_a_key_pair_is_an_access_error(scene: Scene) -> None:
    result = scene.cli("ls", env={"AWS_SECRET_ACCESS_KEY": None}).expect(5)
    assert "credentials" in result.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wrong_credentials(), "S3 does not know the access key"),
        (Answer(403, "SignatureDoesNotMatch"), "the secret key does not belong"),
        (Answer(403, "InvalidToken"), "the session token is not valid"),
        (Answer(400, "ExpiredToken"), "the credentials have expired"),
        (Answer(403, "RequestTimeTooSkewed"), "clock"),
        (access_denied(), "access denied"),
    ],
)
def test_credentials_that_s3_refuses_are_an_access_error(
    scene: Scene, fault: Fault, said: str
) -> None:
    scene.recorder.inject(fault, times=None)
    # A listing, and the look-up of an object.
    for arguments in (["ls"], ["show", make_id()]):
        scene.recorder.clear()
        result = scene.cli(*arguments).expect(5)
        assert result.stdout == b""
        assert said in result.err
        assert "sandbox" not in result.err  # the secret
        # An answer without a body may be asked for once more to know the reason.
        assert set(scene.recorder.operations().values()) == {1}


def test_the_request_id_is_passed_on(scene: Scene) -> None:
    scene.recorder.inject(access_denied(), times=None)
    result = scene.cli("ls").expect(5)
    lines = result.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[0].endswith("[request id FAULT0000000001]")
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2


# --- errors become codes ---------------------------------------------------------------------


def test_a_missing_bucket_is_not_found(scene: Scene) -> None:
    tree = scene.write_tree({"x.txt": "x"})
    identity = make_id()
    for arguments in (
        ["new"], ["ls"], ["ls", identity], ["show", identity], ["logs", identity],
        ["url", identity], ["download", identity], ["verify", identity],
        ["upload", identity, tree], ["finish", identity, "--result", "pass"],
        ["show", "@latest"], ["show", identity[:5]],
    ):  # fmt: skip
        result = scene.cli("--bucket", f"{scene.bucket}-gone", *arguments).expect(4)
        assert result.stdout == b""
        assert "no such bucket" in result.err
        # It came by an option.
        assert "ORCHESTRATOR_BUCKET" not in result.err


def test_an_endpoint_that_is_down_ends_in_bounded_time(
    scene: Scene, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What starting takes, and a look, come on top: two seconds in all.
    assert waiting_notice.WAIT_SECONDS <= 1.2
    monkeypatch.setattr(waiting_notice, "WAIT_SECONDS", 0.01)
    started = time.monotonic()
    result = scene.cli("ls", "--since", "2d", env={"AWS_ENDPOINT_URL": closed_port}).expect(9)
    assert time.monotonic() - started < 45
    assert result.stdout == b""
    waiting, error, hint = result.err.splitlines()
    refused = f"connection refused by {closed_port.removeprefix('http://')}"
    # It is said while it is tried again, not only at the end.
    assert waiting.endswith((f"{refused}; still trying", f"{closed_port} yet; still waiting"))
    assert error.endswith(refused)
    # There is nothing that a listing could go on with.
    assert hint.startswith("hint: ")
    assert "resumes" not in hint


def test_patience_says_how_long_a_busy_server_is_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    impatient(monkeypatch)
    scene.recorder.inject(Answer(503, "SlowDown"), times=None)
    for seconds, at_least, at_most in (("0", 1, 1), ("0.05s", 2, 10_000)):
        scene.recorder.clear()
        assert "SlowDown" in scene.cli("--patience", seconds, "show", execution_id).expect(9).err
        assert at_least <= scene.recorder.count("GetObject") <= at_most


def test_retries_are_told_with_verbose(scene: Scene) -> None:
    scene.recorder.inject(Answer(503, "SlowDown"), times=2)
    quiet = scene.cli("ls").ok()
    assert "retrying" not in quiet.err
    scene.recorder.inject(Answer(503, "SlowDown"), times=2)
    assert scene.cli("-v", "ls").ok().err.count("retrying: ") == 2


def test_an_archived_file_cannot_be_downloaded(scene: Scene) -> None:
    execution_id = scene.put_execution()
    scene.put_file(execution_id, "logs/stdout.log", b"x", StorageClass="DEEP_ARCHIVE")
    result = scene.cli("download", execution_id, "-o", scene.directory / "out").expect(8)
    assert "archived" in result.err
    assert not list((scene.directory / "out").rglob("*.log"))


def test_debug_adds_the_traceback_and_no_secret(
    scene: Scene, config: Callable[[str], Path]
) -> None:
    scene.recorder.inject(access_denied(), times=None)
    plain = scene.cli("ls").expect(5).err
    assert "Traceback" not in plain
    path = config("debug = true\n")
    for result in (
        scene.cli("--debug", "ls").expect(5),
        scene.cli("ls", env={"ORCHESTRATOR_DEBUG": "1"}).expect(5),
        scene.cli("--config", path, "ls").expect(5),
    ):
        assert "Traceback (most recent call last)" in result.err
        assert result.err.endswith(plain)
        assert "Signature=" not in result.err
    assert "Traceback" not in scene.cli("ls", env={"ORCHESTRATOR_DEBUG": "0"}).expect(5).err


def test_what_nobody_expected_is_one_line(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("bad \x1b[31m luck")

    monkeypatch.setattr("orchestrator_cli.library.source.list_execution_ids", fail)
    result = scene.cli("ls").expect(1)
    assert result.err.splitlines() == [
        "error: unexpected ZeroDivisionError: bad \\x1b[31m luck",
        "hint: --debug shows where; please report it",
    ]
    assert "in fail" in scene.cli("--debug", "ls").expect(1).err


def test_interrupting_says_how_to_go_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator_cli.library.source.list_execution_ids", interrupt)
    result = scene.cli("--bucket", scene.bucket, "ls", "--suite", "two words").expect(130)
    assert result.err.strip().splitlines() == [
        "interrupted. To go on:",
        f"  orchestrator --bucket {scene.bucket} ls --suite 'two words'",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_that_waits(
    scene: Scene, cli_process: Processes, number: signal.Signals
) -> None:
    scene.recorder.inject(Stall(), "ListObjectsV2", times=None)
    process = cli_process.start("ls")
    scene.recorder.wait_for(lambda seen: len(seen) == 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err


# Interrupts itself while pydantic calls back, which then raises an error of its own.
_INTERRUPTED_IN_C = """
import os, signal, sys
from orchestrator_cli.cli.main import main

def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "rfc3339":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

sys.setprofile(watch)
main(sys.argv[1:])
"""


def test_a_signal_in_what_a_library_calls_back_is_an_interrupt(
    cli_process: Processes, bucket: str
) -> None:
    command = (sys.executable, "-c", _INTERRUPTED_IN_C)
    process = cli_process.start("new", "--suite", "smoke", command=command)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"unexpected" not in err


# --- naming the execution --------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["prefix", "variable"])
def test_every_command_takes_every_name_of_an_execution(scene: Scene, spelling: str) -> None:
    execution_id = scene.put_execution()
    name = [] if spelling == "variable" else [execution_id[:9].lower()]
    env = {"ORCHESTRATOR_EXECUTION_ID": execution_id if spelling == "variable" else None}
    tree = scene.write_tree({"stdout.log": "x\n"})
    scene.cli("upload", *name, tree, env=env).ok()
    scene.cli("finish", *name, "--result", "pass", env=env).ok()
    assert scene.cli("show", *name, "--json", env=env).ok().json()["execution_id"] == execution_id
    assert scene.cli("logs", *name, env=env).ok().out == "x\n"
    assert (
        f"/executions/{execution_id}/logs/stdout.log?" in scene.cli("url", *name, env=env).ok().out
    )
    scene.cli("verify", *name, tree, env=env).ok()
    scene.cli("download", *name, "-o", scene.directory / "out", env=env).ok()
    assert (scene.directory / "out/logs/stdout.log").read_text() == "x\n"
    assert scene.list_keys("executions/") == [
        f"executions/{execution_id}/logs/stdout.log",
        f"executions/{execution_id}/metadata.json",
    ]


# --- streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ls", "--help"], ["--color", "always", "ls"], ["show", "@latest"]]
)
def test_a_closed_pipe_ends_quietly(
    scene: Scene, cli_process: Processes, arguments: list[str]
) -> None:
    scene.put_execution(status="completed", result="pass")
    process = cli_process.start(*arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_head_in_a_shell_ends_it_quietly(scene: Scene) -> None:
    execution_id = scene.put_execution()
    command = " ".join(COMMAND)
    script = f"set -o pipefail; {command} show {execution_id} | head -1"
    finished = subprocess.run(
        ["bash", "-c", script], env=process_environment(None), capture_output=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert finished.stdout == b"result\trunning\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_clear_error(
    scene: Scene, cli_process: Processes
) -> None:
    scene.put_execution()
    with Path("/dev/full").open("wb") as full:
        process = cli_process.start("ls", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == b"error: standard output: No space left on device\n"


def test_an_execution_whose_id_cannot_be_printed_is_named_by_the_error(scene: Scene) -> None:
    finished = _in_shell(f"{' '.join(COMMAND)} new >&-")
    (key,) = scene.list_keys("executions/")
    made = key.split("/")[1]
    assert finished.returncode == 1
    assert finished.stderr.decode() == (
        "error: standard output: Bad file descriptor\n"
        f"hint: the execution is made; its id is {made}\n"
    )


@pytest.mark.parametrize("closed", ["1>&-", "1>/dev/full"])
def test_work_goes_on_where_it_cannot_be_printed_and_that_is_code_1(
    scene: Scene, closed: str
) -> None:
    execution_id = scene.put_execution()
    for number in range(3):
        (scene.directory / f"{number}.txt").write_text(str(number))
    finished = _in_shell(
        f"{' '.join(COMMAND)} upload {execution_id} {scene.directory} --json {closed}"
    )
    assert finished.returncode == 1
    assert finished.stderr.count(b"error: standard output: ") == 1
    assert b"3 created" in finished.stderr
    prefix = f"executions/{execution_id}/artifacts/"
    assert scene.s3.list_objects_v2(Bucket=scene.bucket, Prefix=prefix)["KeyCount"] == 3


def test_a_closed_output_takes_nothing_and_a_closed_error_is_no_error(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x"})
    command = " ".join(COMMAND)
    finished = _in_shell(f"{command} url {execution_id} 0<&- 2>&- >{scene.directory}/out")
    assert finished.returncode == 0
    # What belongs to standard error does not turn up among the data.
    assert (scene.directory / "out").read_text().startswith("http")
    finished = _in_shell(f"{command} ls >&-")
    assert (finished.returncode, finished.stdout) == (1, b"")
    assert finished.stderr == b"error: standard output: Bad file descriptor\n"


def test_no_file_becomes_a_stream_that_was_closed(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from orchestrator_cli.cli.process import prepare_streams\n"
        "prepare_streams()\n"
        "os.write(os.open('opened', os.O_CREAT | os.O_WRONLY), b'x')\n"
        "print('told', file=sys.stderr, flush=True)\n"
        "os.write(2, b'told')\n"
        "try: os.read(0, 1) and os.write(1, b'y')\n"
        "except OSError: os._exit(7)\n"
    )
    (tmp_path / "script.py").write_text(script)
    finished = _in_shell(f"cd {tmp_path}; {COMMAND[0]} script.py 0<&- 1>&- 2>&-")
    assert finished.returncode == 7
    assert (tmp_path / "opened").read_bytes() == b"x"


def _in_shell(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", script], env=process_environment(None), capture_output=True, check=False
    )


def test_an_encoding_that_lacks_a_letter_stops_nothing(
    scene: Scene, cli_process: Processes
) -> None:
    files = {"artifacts/custom/\u00fc\U0001f600": b"x"}
    execution_id = scene.put_execution(files=files, test_suite="ünï")
    env = {"PYTHONIOENCODING": "ascii"}
    shown = cli_process.run("ls", execution_id, env=env).ok()
    assert shown.out.endswith("artifacts/custom/\\xfc\\U0001f600\n")
    assert cli_process.run("show", execution_id, "--json", env=env).ok().json()["test_suite"] == (
        "ünï"
    )
    exact = cli_process.run("ls", "-0", execution_id, env=env).ok()
    assert exact.stdout == "artifacts/custom/\u00fc\U0001f600\0".encode()


def test_a_command_leaves_other_objects_alone(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x"})
    stored = scene.contents()
    for arguments in (["ls"], ["ls", execution_id], ["show", execution_id], ["logs", execution_id],
                      ["url", execution_id], ["verify", execution_id]):  # fmt: skip
        scene.cli(*arguments).ok()
    assert scene.contents() == stored


def test_python_dash_m_is_the_same_program(cli_process: Processes) -> None:
    assert cli_process.run("--version").ok().lines[0] == f"orchestrator {__version__}"
    script = Path(sys.executable).with_name("orchestrator")
    if script.exists() and script.stat().st_mode & stat.S_IXUSR:
        result = cli_process.run("--version", command=(str(script),)).ok()
        assert result.lines[0] == f"orchestrator {__version__}"


def test_a_configuration_file_that_never_ends_is_an_error(cli: RunCommand, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "is not a regular file" in cli("--config", tmp_path / "fifo", "ls").expect(2).err
    assert "is larger than" in cli("--config", "/dev/zero", "ls").expect(2).err
    with open(tmp_path / "huge.toml", "wb") as huge:
        huge.truncate(1 << 40)
    assert "is larger than" in cli("--config", tmp_path / "huge.toml", "ls").expect(2).err


# --- what fingers type -----------------------------------------------------------------------


def test_global_options_may_follow_the_command(scene: Scene) -> None:
    without = {"ORCHESTRATOR_BUCKET": None}
    scene.cli("ls", env=without).expect(2)
    scene.cli("ls", "--bucket", scene.bucket, env=without).ok()
    scene.cli("ls", f"--bucket={scene.bucket}", "-n", "1", "-v", env=without).ok()
    (scene.directory / "settings.toml").write_text(f'bucket = "{scene.bucket}"')
    scene.cli("ls", "--config", scene.directory / "settings.toml", env=without).ok()
    assert (
        "no such bucket"
        in scene.cli("lifecycle", "show", "--bucket", f"{scene.bucket}-gone").expect(4).err
    )


def test_a_global_option_on_both_sides_is_given_twice(scene: Scene) -> None:
    for line in (
        ["--bucket", scene.bucket, "ls", "--bucket", scene.bucket],
        ["ls", "--bucket", scene.bucket, "--bucket", scene.bucket],
    ):
        assert "--bucket is given more than once" in scene.cli(*line).expect(2).err


def test_options_of_what_is_run_stay_its_own(cli_process: Processes, bucket: str) -> None:
    line = ["run", "--", "echo", "--bucket", "other", "--debug"]
    assert cli_process.run("--quiet", *line).ok().out == "--bucket other --debug\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["uplod"], "Did you mean 'upload'?"),
        (["log"], "Did you mean 'logs'?"),
        (["list"], "Did you mean 'ls'?"),
        (["cat"], "Did you mean 'logs'?"),
        (["ls", "--sinse", "2d"], "--since"),
        (["ls", "--buket", "b"], "--bucket"),
        (["lifecycle", "aply"], "apply"),
    ],
)
def test_the_nearest_name_is_said(cli: RunCommand, line: list[str], said: str) -> None:
    result = cli(*line).expect(2)
    assert "Did you mean" in result.err
    assert said in result.err


def test_help_is_a_command_too(cli: RunCommand) -> None:
    assert cli("help").ok().out == cli("--help").ok().out
    assert cli("help", "ls").ok().out == cli("ls", "--help").ok().out
    assert cli("help", "lifecycle", "apply").ok().out == cli("lifecycle", "apply", "-h").ok().out
    assert "Did you mean 'upload'?" in cli("help", "uplod").expect(2).err


def test_a_server_that_stops_answering_is_told_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_notice, "LATER_SECONDS", 0.05)
    execution_id = scene.new_execution()
    file = scene.write_tree({"f.bin": b"x"}) / "f.bin"
    scene.recorder.inject(Stall(0.6), "PutObject", key="f.bin$")
    result = scene.cli("upload", execution_id, file).ok()
    assert (
        result.err.count(f"no answer from {scene.recorder.endpoint_url} yet; still waiting\n") == 1
    )


def test_a_long_silence_is_told_again_where_a_request_was_given_up_in_it() -> None:
    clock, told = Clock(), list[str]()
    policy = RetryPolicy(clock=clock)
    notice = WaitingNotice(policy, lambda: "https://s3.example", told.append)
    first = "no answer from https://s3.example yet; still waiting"
    with Attempts(policy) as attempts:
        for seconds, expected in ((5, [first]), (300, [first])):
            clock.wait(seconds)
            notice._look()
            assert told == expected
        error = UnavailableError("it did not answer in time", retryable=True)
        attempts.wait_after(error)
        notice.note_error(error)
        again = f"{error.message}; still trying"
        # Ever more seldom: a server may be away for a night.
        for seconds, count in ((1, 1), (50, 1), (30, 1), (60, 2), (120, 2), (180, 3)):
            clock.wait(seconds)
            notice._look()
            assert told == [first, *count * [again]]
            notice.note_error(error)
