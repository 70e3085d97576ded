"""`deploy ec2`: the user data, run as on an instance, with fake packages and shutdown."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands.printed import check_shell, check_unit
from tests.support.commands.running import RunCommand, process_environment
from tests.support.proxy import faults
from tests.support.proxy.session_credentials import access_key_of
from tests.support.scene import Scene
from tests.support.servers.cloud_identity import instance_metadata

DIRECTORIES = ("/opt/", "/var/lib/orchestrator", "/etc/orchestrator", "/etc/systemd/system")
# A fake system Python and uv, whose environments have the program under test.
STANDS_IN = """\
#!/bin/bash
echo "${0##*/} $*" >>"$CALLS"
make() {
  mkdir -p "$1/bin"
  # From Python 3.13 on, a link to the Python of an environment does not belong to it.
  for name in python orchestrator; do
    printf '#!/bin/sh\nexec %q "$@"\n' "@programs@/$name" >"$1/bin/$name"
    chmod +x "$1/bin/$name"
  done
}
case "${0##*/} $*" in
  python3*' -c '*) [[ ${0##*/} == "$PYTHON" ]] ;;
  python3*' -m venv '*) make "$3"; ln -sf "$0" "$3/bin/pip"; ln -sf "$0" "$3/bin/uv" ;;
  'uv venv '*) make "${@: -1}" ;;
esac
"""
FROM_METADATA = dict.fromkeys(
    (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_EC2_METADATA_DISABLED",
    )
)
PROGRAMS = "python3 python3.11 python3.12 python3.13 apt-get dnf systemctl shutdown".split()


@dataclass
class Instance:
    """A directory in place of the file system of an instance.

    `metadata` is where its metadata service listens, the only place then that has credentials.
    `upload_timeout` is how long a run waits for S3 when its command has ended.
    """

    root: Path
    user_data: str
    metadata: str | None = None
    upload_timeout: str = "60s"

    def boot(self, python: str) -> subprocess.CompletedProcess[str]:
        """Run the user data; only this Python is new enough."""
        programs = self.root / "programs"
        programs.mkdir(parents=True)
        text = STANDS_IN.replace("@programs@", str(Path(sys.executable).parent))
        for name in PROGRAMS:
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (self.root / "etc/systemd/system").mkdir(parents=True)
        user_data = self.user_data
        for name in DIRECTORIES:
            user_data = user_data.replace(name, f"{self.root}{name}")
        return self._run(user_data, python)

    def start_unit(self) -> subprocess.CompletedProcess[str]:
        """Run the unit that stores the spool, once."""
        (line,) = [
            line.removeprefix("ExecStart=")
            for line in self.path("etc/systemd/system/orchestrator-spool.service")
            .read_text()
            .splitlines()
            if line.startswith("ExecStart=")
        ]
        lines = self.path("etc/orchestrator/environment").read_text().splitlines()
        return self._run(line, "none", dict(line.split("=", 1) for line in lines))

    def check(self) -> None:
        """Check the files that the instance has written with shellcheck and systemd."""
        for name in ("prepare", "store"):
            check_shell(self.path(f"var/lib/orchestrator/{name}").read_text(), "bash")
        unit = self.path("etc/systemd/system/orchestrator-spool.service")
        check_unit(self.root / unit.name, unit.read_text())

    def _run(
        self, script: str, python: str, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        here: dict[str, str | None] = {
            "CALLS": str(self.path("calls")),
            "ORCHESTRATOR_RUN_UPLOAD_TIMEOUT": self.upload_timeout,
            "PATH": f"{self.root}/programs:{os.environ['PATH']}",
            "PYTHON": python,
        }
        if self.metadata is not None:
            here |= FROM_METADATA | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata}
        return subprocess.run(
            ["bash", "-c", script],
            env=process_environment(here | (variables or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def path(self, name: str) -> Path:
        return self.root / name

    def calls(self) -> list[str]:
        """Return the system commands that were run."""
        return self.path("calls").read_text().splitlines()


def make_instance(cli: RunCommand, tmp_path: Path, *arguments: str) -> Instance:
    out = cli("deploy", "ec2", "--package", "w.whl", *arguments).ok().out
    return Instance(tmp_path / "instance", out)


def only_execution(scene: Scene) -> str:
    (key,) = [key for key in scene.list_keys("executions/") if "metadata" in key]
    return key.split("/")[1]


@pytest.fixture
def metadata() -> Iterator[tuple[str, list[str]]]:
    """The URL of a metadata service that supports version 2 only, and its requests."""
    with instance_metadata() as service:
        yield service


def test_an_instance_fetches_and_runs_its_tests_and_stores_their_output(
    scene: Scene, metadata: tuple[str, list[str]]
) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        content = b'echo "it runs: $1 $PREPARED"; echo more >results/more.txt; exit 7\n'
        member = tarfile.TarInfo("tests/it's.sh")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    scene.s3.put_object(Bucket=scene.bucket, Key="suites/te sts.tar.gz", Body=archive.getvalue())
    instance = make_instance(
        scene.cli,
        scene.directory,
        *("--source", f"s3://{scene.bucket}/suites/te sts.tar.gz", "--suite", "it's; rm"),
        *("--setup", "echo prepared\ntest -d tests", "--", "bash", "tests/it's.sh", "$x\n👩"),
    )
    instance.metadata, asked = metadata
    booted = instance.boot("python3.11")
    assert booted.returncode == 7, booted.stderr
    instance.check()
    assert "dnf install -y python3.11" not in instance.calls()
    assert "pip install --quiet w.whl" in instance.calls()
    execution_id = only_execution(scene)
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("fail", "complete")
    assert (record["runner_type"], record["test_suite"]) == ("ec2", "it's; rm")
    files = scene.contents(f"executions/{execution_id}/")
    prefix = f"executions/{execution_id}"
    assert files[f"{prefix}/logs/stdout.log"].decode() == "prepared\nit runs: $x\n👩 \n"
    assert files[f"{prefix}/artifacts/custom/more.txt"] == b"more\n"
    assert "systemctl start --no-block orchestrator-spool.service" in instance.calls()
    # Without --terminate, the instance keeps running.
    assert instance.start_unit().returncode == 0
    assert not [call for call in instance.calls() if call.startswith("shutdown")]
    # Every request had the credentials of the role.
    assert {access_key_of(one.request) for one in scene.recorder.calls()} == {"ASIAIMDS"}
    assert not [line for line in asked if line.endswith(" 401")]


def test_an_instance_shuts_down_only_after_s3_is_back(scene: Scene) -> None:
    scene.recorder.inject(faults.ResetBefore(), times=None)
    git = ("git", "-C", str(scene.directory), "-c", "user.name=t", "-c", "user.email=t@t.example")
    for words in (
        ("init", "--quiet", "-b", "trunk"),
        ("commit", "--quiet", "--allow-empty", "-m", "x"),
        ("tag", "v1"),
    ):
        subprocess.run([*git, *words], check=True)
    source = ("--source", f"file://{scene.directory}#v1", "--setup", "git log --format=%s; false")
    instance = make_instance(
        scene.cli, scene.directory, *source, "--terminate", "--", "echo", "never"
    )
    instance.upload_timeout = "1s"
    # As on Ubuntu 22.04, no Python is new enough.
    booted = instance.boot("none")
    instance.check()
    assert booted.returncode == 128 + 9, booted.stderr
    assert any(call.startswith("uv venv --python 3.12 ") for call in instance.calls())
    assert instance.start_unit().returncode != 0
    assert "shutdown -h now" not in instance.calls()
    scene.recorder.heal()
    assert instance.start_unit().returncode == 0
    assert "shutdown -h now" in instance.calls()
    execution_id = only_execution(scene)
    record = scene.record(execution_id)
    log = scene.contents(f"executions/{execution_id}/logs/stdout.log")
    assert list(log.values()) == [b"x\n"]
    # A failed preparation is an error, not a failed test.
    assert (record["result"], record["artifact_status"]) == ("error", "complete")


def test_an_instance_retries_only_while_that_may_help(scene: Scene) -> None:
    scene.recorder.inject(faults.access_denied(), "PutObject", key="artifacts/custom/b", times=None)
    leaves = ("touch", "results/b", "results/name\n")
    instance = make_instance(scene.cli, scene.directory, "--terminate", "--", *leaves)
    assert instance.boot("python3.13").returncode == 0
    assert instance.start_unit().returncode == 3
    assert "shutdown -h now" not in instance.calls()
    scene.recorder.heal()
    ended = instance.start_unit()
    assert (
        ended.returncode,
        "the rest cannot be stored, and no retry can help" in ended.stderr,
    ) == (6, True)
    assert "shutdown -h now" in instance.calls()
    assert "RestartPreventExitStatus=6" in instance.user_data
    execution_id = only_execution(scene)
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("pass", "artifact_error")
    assert f"executions/{execution_id}/artifacts/custom/b" in scene.list_keys("executions/")


def test_no_test_is_run_where_nothing_can_be_stored(scene: Scene) -> None:
    scene.recorder.inject(faults.access_denied(), times=None)
    ran = scene.directory / "ran"
    instance = make_instance(scene.cli, scene.directory, "--terminate", "--", "touch", str(ran))
    booted = instance.boot("python3.12")
    assert booted.returncode == 1
    assert (
        f"nothing can be stored in {scene.bucket} (exit code 5); no test was run" in booted.stderr
    )
    assert instance.calls()[-1] == "shutdown -h now"
    assert not ran.exists()


@pytest.mark.parametrize("source", ["s3://b-1/t.zip", "https://g.example/t.git#v1", "git@g:a/b"])
def test_user_data_passes_shellcheck(scene: Scene, source: str) -> None:
    words = ["pytest", "it's", "$(touch x)", "a b"]
    options = ("--source", source, "--setup", "pip install x && $y", "--terminate")
    out = scene.cli("deploy", "ec2", "--package", "w.whl", *options, "--", *words).ok().out
    assert out.startswith("#!/bin/bash\n")
    check_shell(out, "bash")


def test_user_data_that_ec2_would_refuse_is_refused(scene: Scene) -> None:
    options = ("deploy", "ec2", "--package", "w")
    assert "EC2 takes 16,384" in scene.cli(*options, "--", "x" * 16000).expect(2).err
    for source in ("tests/", "s3://b-1", "s3://b-1/dir/", "--upload-pack=x", "ftp://x/y"):
        assert scene.cli(*options, f"--source={source}", "--", "x").expect(2).out == ""
