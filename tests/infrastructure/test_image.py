"""`deploy image`: the steps of the Dockerfile are run without Docker."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.commands.printed import check_dockerfile
from tests.support.commands.running import RunCommand, process_environment

PIP = """\
#!/bin/sh
echo "$*" >"$CALLS"
"""


def test_the_image_installs_the_wheel_and_leaves_nothing_else(
    cli: RunCommand, tmp_path: Path
) -> None:
    text = cli("deploy", "image").ok().out
    check_dockerfile(text)
    (step,) = re.findall(r"^RUN ((?:.*\\\n)*.*)", text, re.MULTILINE)
    files, programs = tmp_path / "tmp", tmp_path / "bin"
    for directory in (files, programs):
        directory.mkdir()
    (programs / "pip").write_text(PIP)
    (programs / "pip").chmod(0o755)
    (files / "orchestrator_cli-1.2.3-py3-none-any.whl").touch()
    done = subprocess.run(
        ["/bin/sh", "-c", step.replace("/tmp/", f"{files}/")],
        env=process_environment(
            {"CALLS": str(tmp_path / "calls"), "PATH": f"{programs}:/usr/bin:/bin"}
        ),
        check=False,
    )
    assert done.returncode == 0
    wheel = files / "orchestrator_cli-1.2.3-py3-none-any.whl[api]"
    assert (tmp_path / "calls").read_text() == f"install --no-cache-dir {wheel}\n"
    assert list(files.iterdir()) == []
