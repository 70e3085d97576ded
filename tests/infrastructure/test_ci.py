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
    program = scene.directory / "programs/python3"
    program.parent.mkdir()
    program.write_text(PYTHON.replace("@programs@", str(Path(sys.executable).parent)))
    program.chmod(0o755)
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


def test_the_job_of_the_readme_is_finished_where_s3_comes_back_and_a_file_fails(
    scene: Scene,
) -> None:
    recipe = README.read_text().partition("```yaml\n")[2].partition("```")[0]
    check_ci(recipe, "github-workflows")
    job = yaml.safe_load(recipe)["jobs"]["test"]
    scripts = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    (scene.directory / "programs").mkdir()
    for name, target in (
        ("orchestrator", str(Path(sys.executable).parent / "orchestrator")),
        ("pip", "/bin/true"),
        ("gh", "/bin/true"),
    ):
        (scene.directory / "programs" / name).symlink_to(target)
    tests = scene.directory / "run-tests"
    tests.write_text("#!/bin/sh\necho failed; echo x >results/x; exit 3\n")
    tests.chmod(0o755)
    declared = {
        "GITHUB_ENV": str(scene.directory / "env"),
        "DECLARED": "--suite smoke",
        "PACKAGE": "w",
    }
    scene.recorder.inject(faults.ResetBefore(), times=None)
    begun = run_step(
        scripts["Make an execution"], ("bash", "-e", "-c"), scene.directory, **declared
    )
    assert begun.returncode == 9
    name, _, execution_id = (scene.directory / "env").read_text().strip().partition("=")
    tested = run_step(scripts["Test"], ("bash", "-eo", "pipefail", "-c"), scene.directory)
    assert tested.returncode == 3
    scene.recorder.heal()
    scene.s3.put_object(
        Bucket=scene.bucket, Key=f"executions/{execution_id}/artifacts/custom/x", Body=b"other"
    )
    here = {**declared, name: execution_id, "RESULT": "fail"}
    stored = run_step(scripts["Store the output"], ("bash", "-e", "-c"), scene.directory, **here)
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("fail", "artifact_error"), stored
    assert record["test_suite"] == "smoke"
    comment = scripts["Comment"].replace("${{ github.event.number }}", "7")
    assert run_step(comment, ("bash", "-e", "-c"), scene.directory, **here).returncode == 0
    assert "stdout.log" in (scene.directory / "comment.md").read_text()
