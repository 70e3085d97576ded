"""One kind of work for each tool, and what ours should come to beside the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """`figure` of ours is at most `most` times that of the peer; of nobody: in MiB or seconds.

    It is judged where the server is `latency_ms` away.
    """

    figure: str
    peer: str | None
    most: float
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of work: a command line for each tool, ours among them."""

    name: str
    says: str
    commands: dict[str, list[str]]
    targets: tuple[Target, ...] = ()
    stdin: Path | None = None
    # Not for what takes long: its file has just been written, and the others ran the same code.
    warm_up: bool = True
    before_each: Callable[[], object] = field(default=lambda: None)
    # Raises CommandFailed where the work was not done; returns what else was measured.
    after_each: Callable[[], Mapping[str, float]] = field(default=dict)
