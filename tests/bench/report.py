"""The figures as data, as a table in the terminal, and as the table of the manual."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.measuring import Figures
from tests.bench.peers import OURS
from tests.bench.workloads import Target, Workload

_NAMES = {"wall_seconds": "wall", "cpu_seconds": "CPU", "peak_mib": "memory"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured: a ratio, or MiB where there is no peer."""

    text: str
    value: float
    most: float

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.most


def judge(target: Target, figures: Mapping[str, Figures]) -> Verdict | None:
    """Return the verdict, or None where the peer is missing."""
    own = getattr(figures[OURS], target.figure)
    name = _NAMES[target.figure]
    if target.peer is None:
        return Verdict(f"{name} ≤ {target.most:g} MiB", own, target.most)
    if target.peer not in figures:
        return None
    ratio = own / max(getattr(figures[target.peer], target.figure), 1e-9)
    return Verdict(f"{name} ≤ {target.most:g} × {target.peer}", ratio, target.most)


def as_record(workload: Workload, figures: Mapping[str, Figures], server: str) -> dict[str, Any]:
    """Return one workload's results as JSON has them."""
    judged = [judge(target, figures) for target in workload.targets]
    return {
        "workload": workload.name,
        "says": workload.says,
        "server": server,
        "tools": {name: asdict(one) for name, one in figures.items()},
        "targets": [
            {"target": one.text, "measured": round(one.value, 3), "met": one.met}
            for one in judged
            if one is not None
        ],
    }


def print_record(record: Mapping[str, Any]) -> None:
    """Print one workload's results."""
    print(f"\n{record['says']} ({record['server']})")
    print(f"  {'':14}{'wall s':>9}{'fastest':>9}{'slowest':>9}{'CPU s':>9}{'peak MiB':>10}")
    for name, one in record["tools"].items():
        print(
            f"  {name:14}{one['wall_seconds']:9.2f}{one['fastest_seconds']:9.2f}"
            f"{one['slowest_seconds']:9.2f}{one['cpu_seconds']:9.2f}{one['peak_mib']:10.0f}"
        )
    for one in record["targets"]:
        print(f"  {'met   ' if one['met'] else 'MISSED'} {one['target']}: {one['measured']:.2f}")


def write_json(path: Path, facts: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> None:
    """Write what was measured, beside what the file has of other work on the same machine."""
    fresh = list(records)
    done = {(one["workload"], one["server"]) for one in fresh}
    kept: list[Any] = []
    if path.exists():
        there = json.loads(path.read_text())
        if there["facts"] == facts:
            kept = [one for one in there["results"] if (one["workload"], one["server"]) not in done]
    content = {"facts": facts, "results": kept + fresh}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
