"""`deploy github|gitlab|jenkins`: the steps of a job, run as a CI runner would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands.printed import check_ci, check_groovy, check_shell
from tests.support.commands.running import RunCommand, process_environment
from tests.support.proxy import faults
from tests.support.scene import Scene

PROGRAM = """printf '%s\\n' "it's $1"; echo x >results/x; exit 3"""
COMMAND = ["sh", "-c", PROGRAM, "sh", "$HOME a\\b"]
README = Path(__file__).parents[2] / "README.md"
ARN = "arn:aws:iam::123456789012:role/writer"
# A fake python3: its virtual environment has the program under test.
PYTHON = """\
#!/bin/sh
mkdir -p .orchestrator/bin
ln -sf @programs@/orchestrator .orchestrator/bin/
ln -sf /bin/true .orchestrator/bin/pip
"""


def steps_of(cli: RunCommand, system: str, *options: str) -> tuple[str, str, str]:
    """Return the shell of begin, test and store."""
    words = ("--package", "w.whl", "--suite", "it's", *options, "--", *COMMAND)
    out = cli("deploy", system, *words).ok().out
    if system == "github":
        job = yaml.safe_load(out)["jobs"]["tests"]
        named = {step.get("name"): step for step in job["steps"]}
        assert named["Store"]["if"] == "always()"
        may_fail = [
            one.get("name", one.get("uses")) for one in job["steps"] if one.get("continue-on-error")
        ]
        assert may_fail[-2:] == ["Begin", "Store"]
        return named["Begin"]["run"], named["Test"]["run"], named["Store"]["run"]
    if system == "gitlab":
        job = yaml.safe_load(out)["tests"]
        return job["before_script"][0], job["script"][0], job["after_script"][0]
    check_groovy(out)
    scripts = re.findall(r"'''((?:[^'\\]|\\.)*)'''", out)
    begin, test, store = (re.sub(r"\\(.)", r"\1", one) for one in scripts)
    return begin, test, store


@pytest.mark.parametrize("system", ["github", "gitlab", "jenkins"])
def test_the_steps_pass_shellcheck(scene: Scene, system: str) -> None:
    for script in steps_of(scene.cli, system, *(("--role-arn", ARN) * (system != "jenkins"))):
        check_shell(script, "sh")


def test_the_job_requests_the_token_that_its_role_trusts(scene: Scene) -> None:
    words = ("--package", "w.whl", "--role-arn", ARN, "--", "true")
    workflow = yaml.safe_load(scene.cli("deploy", "github", *words).ok().out)
    assert workflow["permissions"]["id-token"] == "write"
    assert workflow["jobs"]["tests"]["steps"][1]["with"]["role-to-assume"] == ARN
    job = yaml.safe_load(scene.cli("deploy", "gitlab", *words).ok().out)["tests"]
    assert job["variables"]["AWS_ROLE_ARN"] == ARN
    assert job["variables"]["AWS_WEB_IDENTITY_TOKEN_FILE"] in job["after_script"][0]
    assert (
        "--artifacts is"
        in scene.cli("deploy", "github", *words[:2], "--artifacts", "/x", "--", "x").expect(2).err
    )


@pytest.mark.parametrize("options", [(), ("--role-arn", ARN)], ids=["keys", "role"])
def test_ci_systems_accept_their_files(scene: Scene, options: tuple[str, ...]) -> None:
    words = ("--package", "w.whl", *options, "--", *COMMAND)
    check_ci(scene.cli("deploy", "github", *words).ok().out, "github-workflows")
    check_ci(scene.cli("deploy", "gitlab", *words).ok().out, "gitlab-ci")


def run_step(script: str, shell: tuple[str, ...], cwd: Path, **variables: str) -> Any:
    here = {"PATH": f"{cwd}/programs:/usr/bin:/bin", **variables}
    if script.startswith("#!"):
        # Jenkins executes a script with a #! line directly.
        shell = (*script.partition("\n")[0].removeprefix("#!").split(), "-c")
    return subprocess.run(
        [*shell, script],
        cwd=cwd,
        env=process_environment(here),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("system", "shell", "status", "result"),
    [
        ("github", ("bash", "-e", "-c"), {"RESULT": "fail"}, "fail"),
        ("gitlab", ("sh", "-e", "-c"), {"CI_JOB_STATUS": "canceled"}, "error"),
        ("jenkins", ("sh", "-xe", "-c"), {"RESULT": "fail"}, "fail"),
    ],
)
def test_a_job_exits_as_its_tests_do_and_stores_once_s3_is_back(
    scene: Scene, system: str, shell: tuple[str, ...], status: dict[str, str], result: str
) -> None:
    program = add_programs(scene.directory)
    begin, test, store = steps_of(scene.cli, system)
    scene.recorder.inject(faults.ResetBefore(), times=None)
    assert run_step(begin, shell, scene.directory).returncode == 0
    tested = run_step(test, shell, scene.directory)
    assert (tested.returncode, tested.stdout) == (3, "it's $HOME a\\b\n")
    scene.recorder.heal()
    stored = run_step(store, shell, scene.directory, **status)
    assert stored.returncode == 0, stored.stderr
    execution_id = (scene.directory / ".orchestrator/id").read_text().strip()
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == (result, "complete")
    assert record["test_suite"] == "it's"
    files = scene.contents(f"executions/{execution_id}/")
    assert files[f"executions/{execution_id}/logs/stdout.log"].decode() == tested.stdout

    # If the program cannot be installed, nothing is stored, but the tests run.
    program.write_text("#!/bin/sh\nexit 1\n")
    assert "nothing will be stored" in run_step(begin, shell, scene.directory).stderr
    assert run_step(test, shell, scene.directory).returncode == 3
    assert run_step(store, shell, scene.directory, **status).returncode == 0


def test_a_job_with_the_comment_of_the_readme_finishes_where_a_file_fails(scene: Scene) -> None:
    directory, shell = scene.directory, ("bash", "-e", "-c")
    begin, test, store = steps_of(scene.cli, "github")
    generated = scene.cli("deploy", "github", "--package", "w.whl", "--", "true").ok().out
    workflow = yaml.safe_load(generated)
    recipe = README.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (comment,) = yaml.safe_load(recipe)
    workflow["jobs"]["tests"]["steps"].append(comment)
    check_ci(yaml.safe_dump(workflow), "github-workflows")

    add_programs(directory)
    (directory / "programs/gh").symlink_to("/bin/true")
    assert run_step(begin, shell, directory).returncode == 0
    assert run_step(test, shell, directory).returncode == 3
    execution_id = (directory / ".orchestrator/id").read_text().strip()
    key = f"executions/{execution_id}/artifacts/custom/x"
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"other")
    assert run_step(store, shell, directory, RESULT="fail").returncode == 0
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("fail", "artifact_error")
    script = comment["run"].replace("${{ github.event.number }}", "7")
    assert run_step(script, shell, directory).returncode == 0
    assert "stdout.log" in (directory / "comment.md").read_text()


def add_programs(directory: Path) -> Path:
    """Make a directory `programs` with the fake python3, and return the path of that."""
    program = directory / "programs/python3"
    program.parent.mkdir()
    program.write_text(PYTHON.replace("@programs@", str(Path(sys.executable).parent)))
    program.chmod(0o755)
    return program
