"""The sandbox with a command, in a shell, and with signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.sandbox.sandbox import UNSET_VARIABLES, Sandbox
from tests.support.commands.endings import assert_server_ends, connect, read_exports
from tests.support.commands.running import COMMAND, Processes
from tests.support.commands.terminal import Terminal

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

PUT_AND_GET = """
import boto3, os
s3 = boto3.client("s3")
bucket = os.environ["ORCHESTRATOR_BUCKET"]
s3.put_object(Bucket=bucket, Key="k", Body=b"stored")
print(s3.get_object(Bucket=bucket, Key="k")["Body"].read().decode())
"""

# Prints the endpoint, then one line for each signal; ends when told to on standard input.
COUNT_SIGNALS = """
import os, signal, sys
received = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.write(1, b"got %d\\n" % number))
print(os.environ["AWS_ENDPOINT_URL"], flush=True)
sys.stdin.readline()
print("told to end")
sys.exit(5)
"""


def python(code: str) -> tuple[str, ...]:
    return ("sandbox", "--", sys.executable, "-c", code)


# --- with a command --------------------------------------------------------------------------


def test_the_command_sees_a_working_bucket(cli_process: Processes) -> None:
    result = cli_process.run(*python(PUT_AND_GET))
    assert (result.exit_code, result.out, result.err) == (0, "stored\n", "")


def test_no_real_account_is_used(cli_process: Processes, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://127.0.0.1:1\nregion = nowhere-1\n")
    mine = {name: "mine" for name in UNSET_VARIABLES if name != "AWS_CA_BUNDLE"}
    mine |= {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "mine", "AWS_REGION": "mine"}
    mine |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    show = "import boto3; print(boto3.Session().get_credentials().access_key)"
    result = cli_process.run(*python(PUT_AND_GET + show), env=mine)
    assert (result.exit_code, result.out) == (0, "stored\nsandbox\n")


def test_hosts_without_a_proxy_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "internal.example, 127.0.0.1")
    running = Sandbox("http://127.0.0.1:1", "b", subprocess.Popen(["true"]))
    running.server.wait()
    assert running.environment()["NO_PROXY"] == "internal.example,127.0.0.1"
    assert running.environment()["no_proxy"] == "internal.example,127.0.0.1"


def test_the_command_keeps_options_of_its_own(cli_process: Processes) -> None:
    echo = 'echo "$ORCHESTRATOR_BUCKET $@"'
    result = cli_process.run(
        "sandbox", "--bucket", "other", "sh", "-c", echo, "sh", "--bucket", "x"
    )
    assert (result.exit_code, result.out) == (0, "other --bucket x\n")


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ("exit 7", 7),
        ("kill -TERM $$", 128 + signal.SIGTERM),
        ("kill -KILL $$", 128 + signal.SIGKILL),
        ("kill -INT $$", 128 + signal.SIGINT),
    ],
)
def test_the_exit_code_is_the_commands(script: str, exit_code: int, cli_process: Processes) -> None:
    result = cli_process.run("sandbox", "--", "sh", "-c", script)
    assert (result.exit_code, result.out, result.err) == (exit_code, "", "")


def test_a_command_that_cannot_run_exits_as_in_a_shell(
    cli_process: Processes, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    for command, exit_code in ((tmp_path / "none", 127), (plain, 126), (tmp_path, 126)):
        result = cli_process.run("sandbox", "--", command)
        assert result.exit_code == exit_code
        assert result.err.count("\n") == 1
        assert str(command) in result.err


def test_the_command_inherits_input_and_default_sigpipe(cli_process: Processes) -> None:
    result = cli_process.run("sandbox", "--", "sh", "-c", "cat; yes | head -1", stdin=b"given\n")
    assert (result.exit_code, result.out, result.err) == (0, "given\ny\n", "")


def test_each_signal_is_passed_on_once(cli_process: Processes) -> None:
    process = cli_process.start(*python(COUNT_SIGNALS), stdin=subprocess.PIPE)
    assert process.stdout is not None
    connection = connect(process.stdout.readline().decode().strip())
    for number in SIGNALS:
        process.send_signal(number)
        assert process.stdout.readline() == b"got %d\n" % number
    out, err = process.communicate(b"\n", timeout=60)
    assert (process.returncode, out, err) == (5, b"told to end\n", b"")
    assert_server_ends(connection)


def test_the_sandbox_ends_if_a_signal_ends_the_command(cli_process: Processes) -> None:
    wait = 'echo "$AWS_ENDPOINT_URL"; exec sleep 600'
    process = cli_process.start("sandbox", "--", "sh", "-c", wait)
    assert process.stdout is not None
    connection = connect(process.stdout.readline().decode().strip())
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert_server_ends(connection)


def test_ctrl_c_in_a_terminal_reaches_the_command_once(
    terminal: Callable[..., Terminal],
) -> None:
    session = terminal(*python(COUNT_SIGNALS))
    connection = connect(session.read_until(rb"http://[\d.:]+")[0].decode())
    session.process.send_signal(signal.SIGSTOP)  # a signal passed on now would only merge
    session.send(b"\x03")
    session.read_until(b"got 2")
    session.process.send_signal(signal.SIGCONT)
    session.process.send_signal(signal.SIGTERM)  # waits behind the other one
    session.read_until(b"got 15")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")  # the server is not interrupted
    session.send(b"\n")
    assert session.wait() == 5
    assert session.output.count(b"got 2") == 1
    assert_server_ends(connection)


def test_ctrl_c_ends_a_command_in_a_terminal_with_130(terminal: Callable[..., Terminal]) -> None:
    session = terminal("sandbox", "--", "sh", "-c", 'echo "$AWS_ENDPOINT_URL"; exec sleep 600')
    connection = connect(session.read_until(rb"http://[\d.:]+")[0].decode())
    session.send(b"\x03")
    assert session.wait() == 130
    assert_server_ends(connection)


def test_an_ignored_hangup_stays_ignored(cli_process: Processes) -> None:
    process = cli_process.start(
        *python(COUNT_SIGNALS), command=("nohup", *COMMAND), stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    connection = connect(process.stdout.readline().decode().strip())
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"got 15\n"
    assert process.communicate(b"\n", timeout=60)[0] == b"told to end\n"
    assert_server_ends(connection)


# --- on its own ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_normally(number: signal.Signals, cli_process: Processes) -> None:
    process = cli_process.start("sandbox")
    connection = connect(read_exports(process)["AWS_ENDPOINT_URL"])
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert b"Ctrl-C" in err
    assert_server_ends(connection)


def test_ctrl_c_ends_it_normally(terminal: Callable[..., Terminal]) -> None:
    session = terminal("sandbox", columns=200)
    connection = connect(session.read_until(rb"http://[\d.:]+")[0].decode())
    session.read_until(b"until Ctrl-C")
    session.send(b"\x03")
    assert session.wait() == 0
    assert b"Traceback" not in session.output
    assert_server_ends(connection)


def test_a_shell_can_evaluate_the_output(cli_process: Processes, tmp_path: Path) -> None:
    process = cli_process.start("sandbox", "--bucket", "for-a-shell", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()  # the hint comes last
    printed = os.read(process.stdout.fileno(), 65536)
    (tmp_path / "env.sh").write_bytes(printed)
    script = 'set -eu; . ./env.sh; test -z "${AWS_PROFILE-}"; exec "$0" -c "$1"'
    shell = ("sh", "-c", script, sys.executable, PUT_AND_GET)
    result = cli_process.run(command=shell, cwd=tmp_path, env={"AWS_PROFILE": "mine"})
    assert (result.exit_code, result.out, result.err) == (0, "stored\n", "")


def test_a_crash_of_the_server_is_noticed(cli_process: Processes) -> None:
    code = (
        "from orchestrator_cli.cli import main as cli\n"
        "from orchestrator_cli.sandbox import sandbox\n"
        "make = sandbox.subprocess.Popen\n"
        "def start(*args, **options):\n"
        "    process = make(*args, **options)\n"
        "    print('pid', process.pid, flush=True)\n"
        "    return process\n"
        "sandbox.subprocess.Popen = start\n"
        "cli.main(['sandbox'])\n"
    )
    process = cli_process.start(command=(sys.executable, "-c", code))
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[1])
    read_exports(process)
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == OrchestratorError.exit_code
    assert b"ended by itself" in err
