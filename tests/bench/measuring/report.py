"""The figures as data, as a table in the terminal, and as the table of the manual."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.measuring.command import Figures
from tests.bench.measuring.peers import OURS
from tests.bench.measuring.workload import Target

_NAME = 22
_SECONDS = ("wall_seconds", "fastest_seconds", "slowest_seconds", "cpu_seconds")
_NAMES = {"wall_seconds": "wall", "cpu_seconds": "CPU", "peak_mib": "memory"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured: a ratio, or MiB or seconds where there is no peer."""

    text: str
    value: float
    most: float

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.most


def judge(target: Target, figures: Mapping[str, Figures]) -> Verdict | None:
    """Return the verdict, or None where the peer is missing."""
    own = _figure(figures[OURS], target.figure)
    name = _NAMES.get(target.figure, target.figure)
    if target.peer is None:
        unit = "MiB" if target.figure == "peak_mib" else "s"
        return Verdict(f"{name} ≤ {target.most:g} {unit}", own, target.most)
    if target.peer not in figures:
        return None
    ratio = own / max(_figure(figures[target.peer], target.figure), 1e-9)
    return Verdict(f"{name} ≤ {target.most:g} × {target.peer}", ratio, target.most)


def _figure(figures: Figures, name: str) -> float:
    return figures.more[name] if name in figures.more else float(getattr(figures, name))


def as_record(
    name: str,
    says: str,
    server: str,
    figures: Mapping[str, Figures],
    verdicts: Iterable[Verdict | None],
) -> dict[str, Any]:
    """Return one workload's results as JSON has them."""
    return {
        "workload": name,
        "says": says,
        "server": server,
        "tools": {name: asdict(one) for name, one in figures.items()},
        "targets": [
            {"target": one.text, "measured": round(one.value, 3), "met": one.met}
            for one in verdicts
            if one is not None
        ],
    }


def print_record(record: Mapping[str, Any]) -> None:
    """Print one workload's results."""
    print(f"\n{record['says']} ({record['server']})")
    for name, rate in record.get("gib_per_second", {}).items():
        print(f"  {name:{_NAME}}{rate:9.2f} GiB/s")
    if "tools" in record:
        _print_tools(record)
    for one in record["targets"]:
        print(f"  {'met   ' if one['met'] else 'MISSED'} {one['target']}: {one['measured']:.2f}")


def _print_tools(record: Mapping[str, Any]) -> None:
    more = list(next(iter(record["tools"].values()))["more"])
    print(
        f"  {'':{_NAME}}{_row(['wall s', 'fastest', 'slowest', 'CPU s', 'peak MiB', *more], more)}"
    )
    for name, one in record["tools"].items():
        cells = [f"{one[figure]:.2f}" for figure in _SECONDS]
        cells.append(f"{one['peak_mib']:.0f}")
        cells += [f"{one['more'][each]:.2f}" if each in one["more"] else "" for each in more]
        print(f"  {name:{_NAME}}{_row(cells, more)}")


def _row(cells: Sequence[str], more: Sequence[str]) -> str:
    widths = [9, 9, 9, 9, 10, *(max(9, len(name) + 2) for name in more)]
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


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
