"""Fixtures: a real S3 server per worker, a bucket per test, ways to run the command."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from orchestrator_cli.sandbox.sandbox import Sandbox, start_sandbox
from tests.support.commands.forkserver import ForkServer, run_fork_server
from tests.support.commands.running import (
    Argument,
    Environment,
    NewUpload,
    Processes,
    Result,
    RunCommand,
    run_inside,
)
from tests.support.commands.serving import Serve, serving
from tests.support.commands.small_scale import MIN_PART_BYTES, shrink
from tests.support.commands.terminal import Terminal, open_terminal
from tests.support.commands.via import Tokens, Via, make_via
from tests.support.proxy.proxy import Proxy, run_proxy
from tests.support.scene import Scene
from tests.support.servers.receiving import Receiver, receiving
from tests.support.stored.objects import make_bucket, make_client, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.support.servers.certificates import Certificate

pytest_plugins = ("tests.support.servers.service_models",)

# No database, so that no run depends on the one before; a failure prints how to replay it.
hypothesis.settings.register_profile("project", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("project")

_NUMBERS = itertools.count()
_FOREIGN_PREFIXES = ("AWS_", "ORCHESTRATOR_", "CLICOLOR", "LC_", "OTEL_", "PYTHON", "XDG_")
_FOREIGN_VARIABLES = frozenset(
    "ALL_PROXY BOTO_CONFIG CI COLUMNS CURL_CA_BUNDLE FORCE_COLOR GITHUB_ACTIONS "
    "GITHUB_STEP_SUMMARY HTTPS_PROXY HTTP_PROXY LANG "
    "LANGUAGE LESS LINES NO_COLOR NO_PROXY PAGER REQUESTS_CA_BUNDLE SSL_CERT_DIR SSL_CERT_FILE "
    "TERM all_proxy http_proxy https_proxy no_proxy".split()
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave garbage until a worker has its tests, and share the compiling of all among workers."""
    worker = getattr(session.config, "workerinput", None)
    if worker is not None:
        gc.disable()
        if session.config.args == ["tests"]:
            _import_share(int(worker["workerid"].removeprefix("gw")), worker["workercount"])


def _import_share(number: int, count: int) -> None:
    """Import what no other worker imports now, and so compile it for all.

    On a fresh clone, to rewrite the assertions of all tests takes longer than to collect them.
    """
    top = Path(__file__).parent
    for path in sorted(top.glob("**/test_*.py"))[number::count]:
        # Where it cannot be imported, collecting it says so.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(path.relative_to(top.parent).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Leave thousands of tests and their modules, which stay, out of every garbage collection."""
    gc.freeze()
    gc.enable()
    # What was left out is cleared at the end of the interpreter, or a library tells of leaks.
    atexit.register(gc.unfreeze)


@pytest.fixture(autouse=True, scope="session")
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings and accounts of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN_VARIABLES:
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("LC_ALL", "C.UTF-8")
        # Without credentials of any kind, a client would look for a cloud machine's.
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(autouse=True)
def _own_directories(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give each test an empty home and an empty current directory."""
    # To number them, pytest would look through those of all tests before, twice a test.
    own = tmp_path_factory.mktemp(f"own-{next(_NUMBERS)}", numbered=False)
    for name in ("home", "cwd"):
        (own / name).mkdir()
    monkeypatch.setenv("HOME", str(own / "home"))
    monkeypatch.chdir(own / "cwd")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """An S3 server of this worker's own, which takes small parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", str(MIN_PART_BYTES))
        context = start_sandbox()
        running = context.__enter__()
    try:
        yield running
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def s3(sandbox: Sandbox) -> S3Client:
    """A boto3 client that goes straight to the server, for looking at what it holds."""
    return make_client(sandbox.environment())


@pytest.fixture
def s3env(
    sandbox: Sandbox, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The variables that point at the server and at a fresh bucket; they are set."""
    bucket = make_bucket(s3)
    variables = sandbox.environment() | {"ORCHESTRATOR_BUCKET": bucket}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    yield variables
    remove_bucket(s3, bucket)


@pytest.fixture
def bucket(s3env: dict[str, str]) -> str:
    """A fresh bucket; the environment points at it."""
    return s3env["ORCHESTRATOR_BUCKET"]


@pytest.fixture
def recorder(s3env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A recording, fault-injecting proxy; the environment leads through it to the server."""
    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        yield proxy


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for loopback that nobody trusts."""
    from tests.support.servers.certificates import Certificate, make_certificate

    return Certificate(make_certificate(tmp_path_factory.mktemp("tls") / "server.pem"))


@pytest.fixture
def cli() -> RunCommand:
    """Run the command in this process: fast, for all but signals, terminals and memory."""
    from orchestrator_cli.cli.main import main

    def run(*arguments: Argument, stdin: bytes = b"", env: Environment | None = None) -> Result:
        return run_inside(main, arguments, stdin, env)

    return run


@pytest.fixture
def scene(cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path) -> Scene:
    """A fresh bucket behind a recording proxy, the command, and a directory for files."""
    return Scene(cli, recorder, s3, bucket, tmp_path)


@pytest.fixture
def cli_process() -> Iterator[Processes]:
    """Run the command as a process: `.run(…)` to its end, `.start(…)` to signal it."""
    processes = Processes()
    yield processes
    processes.close()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB in this process: a large file is then one that is made and sent at once."""
    shrink(monkeypatch.setattr)


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Real processes of the command, at the price of a fork, with small parts and quick retries."""
    with run_fork_server() as server:
        yield server


@pytest.fixture(scope="session")
def server_forks() -> Iterator[ForkServer]:
    """Servers as real processes that retry quickly; a fork each instead of an import of FastAPI."""
    with run_fork_server("orchestrator_cli.api", small_scale=False) as server:
        yield server


@pytest.fixture
def serve(server_forks: ForkServer, bucket: str) -> Iterator[Serve]:
    """Run servers: `serve("--tokens", …)`."""
    with serving(server_forks) as start:
        yield start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server that takes metrics which are pushed to it."""
    with receiving() as running:
        yield running


@pytest.fixture
def new_upload(cli: RunCommand, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> NewUpload:
    """Return lines that upload a new file of 2,000 bytes each: `new_upload("--concurrency", …)`."""
    execution_id = cli("new").ok().out.strip()
    directory = tmp_path_factory.mktemp("uploads")
    numbers = itertools.count()

    def line(*options: str) -> tuple[str, ...]:
        source = directory / f"{next(numbers)}.txt"
        source.write_bytes(b"x" * 2000)
        return ("upload", execution_id, str(source), *options)

    return line


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def tokens(cli: RunCommand, tmp_path: Path) -> Tokens:
    """A file of tokens, which grows by `tokens.make(name, *options)`."""
    file = tmp_path / "tokens"

    def make(name: str, *options: str) -> str:
        made = cli("serve", "--new-token", name, *options).ok()
        with file.open("a", encoding="utf-8") as opened:
            opened.write(made.out)
        return made.err.strip()

    return Tokens(file, make, make("bench", "--scope", "upload"), make("reader"))


@pytest.fixture
def via(serve: Serve, tokens: Tokens) -> Via:
    """A server with tokens, which reaches S3 through `recorder` where that was there before."""
    return make_via(serve, tokens)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Run the command in a real terminal: `terminal("upload", …, columns=80)`."""
    with contextlib.ExitStack() as opened:
        yield lambda *arguments, **options: opened.enter_context(
            open_terminal(*arguments, **options)
        )
