"""The command lines of each tool for one kind of work."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.bench.fixtures import DOWN_ID, LARGE_ID, LOG_ID, NEEDLE, NEW_ID, PATTERN, Fixtures
from tests.bench.measuring.peers import BOTO3_CRT, BUCKET, CURL_ALONE, OURS, S5CMD_ITSELF, Tools

CURL_AND_GREP = "curl | grep"
UPLOAD = "upload"
_BOTO_BASELINE = str(Path(__file__).with_name("boto_baseline.py"))
_CURL_BASELINE = str(Path(__file__).with_name("curl_baseline.py"))


class Commands:
    """The command lines of one kind of work, for each tool that is there."""

    def __init__(self, tools: Tools, rclone: tuple[str, ...]) -> None:
        """Take what rclone needs to be told."""
        self._tools = tools
        self._rclone = rclone

    def copy(self, source: Path, execution_id: str, *, small: bool = False) -> dict[str, list[str]]:
        """Upload a file or a directory to where nothing is."""
        directory = source.is_dir()
        aws = ("--recursive",) if directory else ()
        path = f"{source}/" if directory else str(source)
        return self._those(
            {
                OURS: ("upload", execution_id, str(source)),
                "s5cmd": ("cp", path, f"s3://{BUCKET}/new/"),
                S5CMD_ITSELF: ("cp", path, f"s3://{BUCKET}/new/"),
                "aws": ("s3", "cp", *aws, "--only-show-errors", path, f"s3://{BUCKET}/new/"),
                "rclone": ("copy", *self._rclone, str(source), f":s3:{BUCKET}/new"),
                "boto3": (_BOTO_BASELINE, str(source), "new/", "classic"),
                BOTO3_CRT: (_BOTO_BASELINE, str(source), "new/", "crt"),
                **({CURL_ALONE: (_CURL_BASELINE, str(source), "new/")} if small else {}),
            },
            small,
        )

    def sync(self, source: Path, execution_id: str) -> dict[str, list[str]]:
        """Upload a directory to where it is already."""
        again = f"s3://{BUCKET}/again/"
        return self._those(
            {
                OURS: ("upload", execution_id, str(source)),
                "s5cmd": ("sync", f"{source}/", again),
                S5CMD_ITSELF: ("sync", f"{source}/", again),
                "aws": ("s3", "sync", "--only-show-errors", f"{source}/", again),
            }
        )

    def sync_efs(self, files: Fixtures) -> dict[str, list[str]]:
        """Store what a bench left, and the same by `upload`; what has just changed too."""
        syncing = ("sync-efs", "--root", str(files.efs), "--settle", "0s")
        return {
            OURS: self._tools.command(OURS, *syncing),
            UPLOAD: self._tools.command(OURS, "upload", NEW_ID, str(files.raw)),
        }

    def pipe(self) -> dict[str, list[str]]:
        """Upload standard input."""
        return self._those(
            {
                OURS: ("upload", NEW_ID, "-", "--name", "logs/stdout.log"),
                "s5cmd": ("pipe", f"s3://{BUCKET}/new/piped"),
                "aws": ("s3", "cp", "--only-show-errors", "-", f"s3://{BUCKET}/new/piped"),
            }
        )

    def cat(self, key: str, name: str, *, small: bool = False) -> dict[str, list[str]]:
        """Print an object, a log's name for ours."""
        return self._those(
            {
                OURS: ("logs", LOG_ID, name),
                "s5cmd": ("cat", f"s3://{BUCKET}/{key}"),
                S5CMD_ITSELF: ("cat", f"s3://{BUCKET}/{key}"),
                "aws": ("s3", "cp", f"s3://{BUCKET}/{key}", "-"),
            },
            small,
        )

    def download(self, target: Path) -> dict[str, list[str]]:
        """Download all small files."""
        down = f"s3://{BUCKET}/down/"
        return self._those(
            {
                OURS: ("download", DOWN_ID, "-o", str(target)),
                "s5cmd": ("cp", f"{down}*", f"{target}/"),
                S5CMD_ITSELF: ("cp", f"{down}*", f"{target}/"),
                "aws": ("s3", "cp", "--recursive", "--only-show-errors", down, str(target)),
            }
        )

    def download_large(self, target: Path) -> dict[str, list[str]]:
        """Download the large file."""
        stored = f"s3://{BUCKET}/executions/{LARGE_ID}/artifacts/custom/large.bin"
        return self._those(
            {
                OURS: ("download", LARGE_ID, "-o", str(target)),
                "s5cmd": ("cp", stored, f"{target}/"),
            }
        )

    def count_matches(self, endpoint_url: str, ca_file: Path | None) -> dict[str, list[str]]:
        """Count the lines of a log that match; others pipe it into grep."""
        url = f"{endpoint_url}/{BUCKET}/executions/{LOG_ID}/logs/bench.log"
        trust = ["--cacert", str(ca_file)] if ca_file else []
        fetching = shlex.join(["curl", "-sSf", *trust, url])
        counting = shlex.join(["grep", "-cE", PATTERN])
        return {
            **self._those({OURS: ("logs", LOG_ID, "bench", "--grep", PATTERN, "--count")}),
            CURL_AND_GREP: ["sh", "-c", f"{fetching} | LC_ALL=C {counting}"],
        }

    def search(self, copies: Path) -> dict[str, list[str]]:
        """Search the logs of all executions; whoever cannot has grep search copies of them."""
        executions, found = f"s3://{BUCKET}/executions/", ("grep", "-rnF", NEEDLE, str(copies))
        copying = {
            "s5cmd": ("cp", f"{executions}*", f"{copies}/"),
            "aws": ("s3", "cp", "--recursive", "--only-show-errors", executions, str(copies)),
        }
        both = {
            name: ["sh", "-c", f"{shlex.join(line)} && {shlex.join(found)}"]
            for name, line in self._those(copying).items()
        }
        return self._those({OURS: ("grep", "-F", NEEDLE, "--since", "12h")}) | both

    def _those(self, asked: dict[str, tuple[str, ...]], small: bool = True) -> dict[str, list[str]]:
        return {
            name: self._tools.command(name, *arguments)
            for name, arguments in asked.items()
            # Beside much work, how s5cmd is started does not show.
            if name in self._tools.paths and (small or name != S5CMD_ITSELF)
        }
