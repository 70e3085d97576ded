"""Check what `deploy` prints with the tools of the systems that it is for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

# The oldest that has native sidecars, and what is current.
_KUBERNETES = ("1.29", "1.34")


def check_shell(script: str, shell: str) -> None:
    """Assert that shellcheck finds nothing."""
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert program is not None
    checked = subprocess.run(
        [program, f"--shell={shell}", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def check_dockerfile(text: str) -> None:
    """Assert that hadolint finds nothing."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None
    # A wheel from a file has no version to pin.
    checked = subprocess.run(
        [program, "--no-color", "--ignore=DL3013", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def check_groovy(text: str) -> None:
    """Assert that this is Groovy."""
    import tree_sitter
    import tree_sitter_groovy

    language = tree_sitter.Language(tree_sitter_groovy.language())
    root = tree_sitter.Parser(language).parse(text.encode()).root_node
    assert not root.has_error, str(root)


def check_ci(text: str, schema: str) -> None:
    """Assert that a file of CI has the schema of its system, `github-workflows` or `gitlab-ci`."""
    program = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    assert program is not None
    words = ["--builtin-schema", f"vendor.{schema}", "--default-filetype", "yaml", "-"]
    checked = subprocess.run(
        [program, *words], input=text, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def check_kubernetes(text: str) -> list[Any]:
    """Assert that each document is what Kubernetes takes, with no field that it does not know."""
    import kubernetes_validate

    documents = list(yaml.safe_load_all(text))
    for document in documents:
        for version in _KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    return documents


def check_unit(path: Path, text: str) -> None:
    """Assert that systemd finds nothing in a unit; where it is not installed, look no further."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    # What a unit starts is on the machine that it is for.
    lines = [
        "ExecStart=/bin/true" if line.startswith("ExecStart=") else line
        for line in text.splitlines()
    ]
    path.write_text("\n".join([*lines, ""]))
    checked = subprocess.run(
        [program, "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    # It also reports what it finds in the machine's own units.
    reported = [line for line in checked.stderr.splitlines() if path.name in line]
    assert (checked.returncode, reported) == (0, [])
