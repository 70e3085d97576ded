"""What the tests of `sync-efs` share: a tree as benches leave it, and files of a chosen age."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

DAY = 24 * 3600.0
# Made in 2023, so that the execution itself is older than any retention.
OLD_ID = "01H00000000000000000000000"
OTHER_ID = "01H00000000000000000000001"


def watching_line(root: Path, *options: str) -> tuple[str, ...]:
    """Return a line that syncs what is below a root again and again, and keeps it there."""
    return (
        *("sync-efs", "--root", str(root), "--watch", "--settle", "0s", "--keep"),
        *("--interval", "50ms", *options),
    )


@dataclass
class BenchTree:
    """An EFS root and the `sync-efs` arguments that fit it: files settle at once."""

    root: Path

    def directory(self, execution_id: str = OLD_ID, bench_id: str = "b1") -> Path:
        return self.root / bench_id / execution_id

    def write(
        self,
        name: str,
        content: bytes = b"x",
        *,
        age_seconds: float = 0,
        execution_id: str = OLD_ID,
        bench_id: str = "b1",
    ) -> Path:
        """Write a file below an execution's directory, `raw/` or `temp/` included in its name."""
        path = self.directory(execution_id, bench_id) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.age(path, age_seconds)
        return path

    def age(self, path: Path, seconds: float) -> None:
        """Move the time of the last write back."""
        then = time.time() - seconds
        os.utime(path, (then, then))

    def wait_until_older(self, name: str) -> None:
        """Wait until what is stored from now on is younger than a file of `OLD_ID`.

        S3 tells whole seconds.
        """
        changed_at = (self.directory() / name).stat().st_ctime
        while time.time() < int(changed_at) + 1:
            time.sleep(0.01)

    def age_directories(self, seconds: float) -> None:
        for path in [self.root, *self.root.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                self.age(path, seconds)

    def names(self) -> set[str]:
        """Return what is left, relative to the root."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("sync-efs", "--root", str(self.root), "--settle", "0s", "--log-settle", "0s")
