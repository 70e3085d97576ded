"""The server of the sandbox ends with its parent, however that ends; the context manager."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.sandbox import sandbox as sandbox_module
from orchestrator_cli.sandbox.sandbox import Sandbox, start_sandbox
from tests.support.commands.endings import assert_server_ends, connect
from tests.support.commands.running import Processes, RunCommand

# --- whatever kills the parent ---------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [(), ("--", "sh", "-c", 'echo "export AWS_ENDPOINT_URL=$AWS_ENDPOINT_URL"; read x')],
    ids=["bare", "command"],
)
def test_kill_9_leaves_no_server(arguments: tuple[str, ...], cli_process: Processes) -> None:
    process = cli_process.start("sandbox", *arguments, stdin=subprocess.PIPE)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, b"")
    line = next(line for line in lines if b"AWS_ENDPOINT_URL=" in line)
    connection = connect(line.decode().strip().partition("=")[2])
    process.kill()
    assert_server_ends(connection)


@pytest.mark.parametrize("thread", [False, True], ids=["main-thread", "other-thread"])
def test_kill_9_of_a_program_that_embeds_it_leaves_no_server(
    thread: bool, cli_process: Processes
) -> None:
    code = (
        "import threading\n"
        "from orchestrator_cli.sandbox.sandbox import start_sandbox\n"
        "def hold():\n"
        "    with start_sandbox() as running:\n"
        "        print(running.endpoint_url, flush=True)\n"
        "        threading.Event().wait()\n"
    )
    code += "threading.Thread(target=hold).start()\n" if thread else "hold()\n"
    process = cli_process.start(command=(sys.executable, "-c", code))
    assert process.stdout is not None
    connection = connect(process.stdout.readline().decode().strip())
    process.kill()
    assert_server_ends(connection)


def test_a_server_started_in_a_thread_outlives_that_thread(cli_process: Processes) -> None:
    code = (
        "import contextlib, threading\n"
        "from urllib.request import urlopen\n"
        "from orchestrator_cli.sandbox.sandbox import start_sandbox\n"
        "stack, found = contextlib.ExitStack(), []\n"
        "def start():\n"
        "    found.append(stack.enter_context(start_sandbox()))\n"
        "thread = threading.Thread(target=start)\n"
        "thread.start(); thread.join()\n"
        "with stack:\n"
        "    print(urlopen(found[0].endpoint_url).status, found[0].is_running())\n"
    )
    result = cli_process.run(command=(sys.executable, "-c", code))
    assert (result.exit_code, result.out, result.err) == (0, "200 True\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_fork_that_keeps_the_lifeline_open_does_not_keep_the_server(
    cli_process: Processes,
) -> None:
    code = (
        "import os, signal, sys\n"
        "from orchestrator_cli.sandbox.sandbox import start_sandbox\n"
        "with start_sandbox() as running:\n"
        "    if os.fork() == 0:\n"
        "        sys.stdin.readline()\n"
        "        os._exit(0)\n"
        "    print(running.endpoint_url, flush=True)\n"
        "    signal.pause()\n"
    )
    command = (sys.executable, "-c", code)
    process = cli_process.start(command=command, stdin=subprocess.PIPE)
    assert process.stdout is not None
    connection = connect(process.stdout.readline().decode().strip())
    process.kill()
    assert_server_ends(connection)


# --- as a library ----------------------------------------------------------------------------


def test_the_context_ends_the_server() -> None:
    with start_sandbox("some-bucket") as running:
        assert running.is_running()
        assert running.environment()["ORCHESTRATOR_BUCKET"] == running.bucket == "some-bucket"
        connection = connect(running.endpoint_url)
    assert not running.is_running()
    assert_server_ends(connection)


def test_an_error_in_the_context_ends_the_server() -> None:
    def fail() -> Sandbox:
        with start_sandbox() as running:
            started.append(running)
            raise LookupError

    started: list[Sandbox] = []
    with pytest.raises(LookupError):
        fail()
    assert not started[0].is_running()


def test_without_moto_the_extra_is_named(cli: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "moto" else find(name)
    )
    result = cli("sandbox", "--", "true").expect(2)
    assert "pip install 'orchestrator-cli[sandbox]'" in result.err
    assert "moto" in result.err


@pytest.mark.parametrize("name", ["", "ab", "A_b", "a/b", "-ab", "a" * 64, "\x1b[31m"])
def test_a_name_that_no_bucket_can_have_is_refused(cli: RunCommand, name: str) -> None:
    result = cli("sandbox", "--bucket", name, "--", "true").expect(2)
    assert b"\x1b" not in result.stderr


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no room left')"]
    monkeypatch.setattr(sandbox_module, "_server_command", lambda: command)
    with pytest.raises(OrchestratorError, match="no room left"), start_sandbox():
        pass


def test_usage_errors_are_raised_before_anything_starts() -> None:
    with pytest.raises(UsageError), start_sandbox("NOT A BUCKET"):
        pass
