"""What the built distributions hold."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from orchestrator_cli import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return target


def test_wheel_installs_the_manual_pages_and_completions(dist: Path) -> None:
    (wheel,) = dist.glob(f"orchestrator_cli-{__version__}-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".data/data/")[2] or name for name in archive.namelist()}
    pages = {
        f"share/man/man{page.suffix[1:]}/{page.name}" for page in (ROOT / "man").glob("*.[1-9]")
    }
    assert len(pages) > 5
    assert pages <= names
    assert {
        "share/bash-completion/completions/orchestrator",
        "share/fish/vendor_completions.d/orchestrator.fish",
        "share/zsh/site-functions/_orchestrator",
        "orchestrator_cli/py.typed",
        "orchestrator_cli/api/pages/static/vendored/ansi_up.LICENSE",
        "orchestrator_cli/api/pages/static/log/viewer.js",
        "orchestrator_cli/api/pages/templates/base.html",
        "orchestrator_cli/core/retention/prices.toml",
    } <= names
    assert not [name for name in names if "docgen" in name]


def test_source_distribution_holds_what_a_build_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        ".ci/hatch_hook.py",
        ".ci/requirements.lock",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "completions/orchestrator.bash",
        "man/orchestrator.1",
        "pyproject.toml",
        "tests/test_packaging.py",
    } <= names


def test_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    lines = (ROOT / ".ci" / "requirements.lock").read_text(encoding="utf-8").splitlines()
    content = [line.strip() for line in lines if line and not line.startswith("#")]
    pins = [line for line in content if not line.startswith("--hash=sha256:")]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert not any("://" in line or "find-links" in line or "file:" in line for line in content)
