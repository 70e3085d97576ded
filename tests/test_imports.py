"""What a command imports is what it pays for: help must not wait for S3's clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator_cli.cli.main import COMMANDS
from tests.support.commands.running import process_environment
from tests.support.scene import Scene
from tests.support.servers.cloud_identity import ROLE, pod_identity_agent, token_service

# One process for all lines, so that each costs only what it newly imports.
PROBE = """
import io, sys
from orchestrator_cli.cli.main import main
for line in sys.argv[1:]:
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        main(line.split())
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
    text, sys.stdout = sys.stdout.getvalue(), out
    assert text.strip(), line
    heavy = {"boto3", "botocore", "pydantic", "rich", "moto", "flask", "urllib3"}
    if line == "--help":  # commands declare paths, and click looks for an option that is near -h
        heavy |= {"copy", "dataclasses", "pathlib", "shutil", "selectors", "difflib", "json"}
    found = sorted(heavy & set(sys.modules))
    assert not found, f"{line} imports {found}"
    print(text, end="")
"""


def probe(*lines: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", PROBE, *lines],
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_help_and_version_import_no_client() -> None:
    assert "Usage: orchestrator [OPTIONS] COMMAND" in probe("--help")
    assert probe("--version").startswith("orchestrator ")


def test_the_help_of_every_command_imports_no_client() -> None:
    text = probe(*(f"{name} --help" for name in COMMANDS))
    for name in COMMANDS:
        assert f"Usage: orchestrator {name} " in text


@pytest.mark.parametrize("line", ["--help", "--version", "-h"])
def test_help_imports_no_command(line: str) -> None:
    script = (
        f"{PROBE}\nprint(sorted(one for one in sys.modules if one.startswith("
        "'orchestrator_cli.cli.commands.')), file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, line],
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stderr == "[]\n"


# --- what reads must not wait for ---------------------------------------------------------

READ = """
import sys
from orchestrator_cli.cli.main import main
allowed = set(filter(None, sys.argv.pop(1).split(",")))
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"boto3", "botocore", "urllib3", "http.client", "email", "asyncio", "pydantic", "rich"}
heavy |= {"moto", "tenacity", "ssl", "botocore.session"}  # the server is one of plain HTTP
if sys.argv[1] != "upload":
    heavy |= {"concurrent.futures", "logging"}  # one request after the other: no threads
if sys.argv[1] in ("logs", "upload") and not allowed:
    heavy |= {"html", "random", "shutil", "tempfile"}
if sys.argv[1] == "logs" and not allowed:
    heavy |= {"queue", "traceback", "orchestrator_cli.core.files.directory"}
    heavy |= {f"orchestrator_cli.core.executions.{one}" for one in ("filters", "logs.search")}
if sys.argv[1] == "logs" and sys.argv[3:] and not allowed:
    heavy |= {"json"}  # whose name is known needs no record
found = sorted((heavy - allowed) & set(sys.modules))
assert not found, f"{sys.argv[1]} imports {found}"
"""
# What botocore's parser of configuration files brings along, and its chain of credentials.
PARSER = {"botocore", "urllib3", "http.client", "email", "ssl", "logging", "concurrent.futures"}
CHAIN = PARSER | {"botocore.session"}
NO_KEYS: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


@dataclass(frozen=True)
class Access:
    """The variables by which credentials are found, and what may be imported for it."""

    environment: dict[str, str | None]
    imports: set[str]


@pytest.fixture(params=["keys", "configuration file", "web identity", "pod identity"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Access]:
    file = tmp_path / "file"
    file.write_text("jwt-of-the-pod")
    if request.param == "keys":
        yield Access({}, set())
    elif request.param == "configuration file":
        file.write_text("[default]\nregion = us-east-1\n")
        yield Access({"AWS_CONFIG_FILE": str(file)}, PARSER)
    elif request.param == "web identity":
        with token_service() as (address, _):
            role: dict[str, str | None] = {
                "AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{ROLE}",
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
                "AWS_ENDPOINT_URL_STS": address,
            }
            yield Access(NO_KEYS | role, CHAIN)
    else:
        with pod_identity_agent() as (address, _):
            agent: dict[str, str | None] = {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{address}/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
            }
            yield Access(NO_KEYS | agent, CHAIN)


def test_common_commands_import_no_more_than_their_credentials_need(
    scene: Scene, access: Access
) -> None:
    execution = scene.new_execution()
    tree = scene.write_tree({"stdout.log": "a log\n", "a.txt": "a"})
    scene.cli("upload", execution, tree).ok()
    said = {
        ("logs", execution): "a log\n",
        ("logs", execution, "stdout"): "a log\n",
        ("ls", execution): "logs/stdout.log",
        ("url", execution, "stdout"): f"{scene.bucket}/executions/{execution}/logs/stdout.log?",
        ("upload", execution, str(scene.write_tree({"b.txt": "b"}))): "",
    }
    for line, wanted in said.items():
        finished = subprocess.run(
            [sys.executable, "-c", READ, ",".join(access.imports), *line],
            env=process_environment(access.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert wanted in finished.stdout, line
