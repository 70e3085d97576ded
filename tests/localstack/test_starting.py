"""LocalStack ends with whoever started it, and says why where it cannot start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.commands.running import PROJECT
from tests.support.servers import localstack
from tests.support.servers.localstack import CannotStartError, start_localstack

pytest_plugins = ["pytester"]

_GIVE_UP_SECONDS = 20
_STARTER = """
import sys
import threading
from pathlib import Path
from tests.support.servers.localstack import start_localstack

def start():
    with start_localstack(Path(sys.argv[1])) as server:
        print(server.endpoint_url, flush=True)
        sys.stdin.read()

{}
"""


def wait_until_refused(url: str) -> None:
    """Return as soon as nobody listens there any more."""
    address = ("127.0.0.1", urlsplit(url).port or 0)
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address, timeout=1).close()
        except ConnectionRefusedError:
            return
        except OSError:
            continue  # not gone yet, and busy with that
        time.sleep(0.02)
    raise AssertionError(f"{url} is still served")


# From the main thread the kernel ends it too; from another one, the end of its input alone does.
@pytest.mark.localstack
@pytest.mark.parametrize("call", ["start()", "threading.Thread(target=start).start()"])
def test_it_ends_when_its_starter_is_killed(tmp_path: Path, call: str) -> None:
    if not localstack.PYTHON.exists():
        pytest.skip("LocalStack is not installed: run `make test-localstack`")
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER.format(call), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    with starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().decode().strip()
        assert url.startswith("http://127.0.0.1:")
        starter.kill()
    wait_until_refused(url)


def test_without_its_environment_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localstack, "PYTHON", tmp_path / "missing")
    with pytest.raises(CannotStartError, match="not installed: run `make test-localstack`"):
        start_localstack(tmp_path).__enter__()


def test_a_start_that_fails_says_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This project's own interpreter has no LocalStack."""
    monkeypatch.setattr(localstack, "PYTHON", Path(sys.executable))
    with pytest.raises(CannotStartError, match=r"No module named '(twisted|localstack)"):
        start_localstack(tmp_path).__enter__()


def test_tests_are_skipped_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group's own fixtures, in a run where LocalStack is not installed."""
    monkeypatch.setattr(localstack, "PYTHON", pytester.path / "missing")
    pytester.makeconftest(
        "from tests.conftest import *\nfrom tests.localstack.conftest import s3, sandbox"
    )
    pytester.makepyfile("def test_one(s3): ...\ndef test_two(s3env): ...")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines("*LocalStack is not installed: run `make test-localstack`*")
