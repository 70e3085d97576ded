"""The manual page of benchmarks: the text of benchmarks.md with what was last measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from orchestrator_cli.docgen.layout_page import render_page
from orchestrator_cli.docgen.manpages import BENCHMARKS_PAGE

_OURS = "orchestrator"


def render_benchmarks_page(version: str) -> str:
    """Return the page."""
    source = resources.files("orchestrator_cli.docgen").joinpath("benchmarks.json")
    measured = json.loads(source.read_text(encoding="utf-8"))
    facts, results = measured["facts"], measured["results"]
    peaks = [one["peak_mib"] for record in results for one in record.get("tools", {}).values()]
    values = {
        "repetitions": str(facts["repetitions"]),
        "floor": f"{min(peaks):.0f}",
        "machine": _literal(f"{name:14} {fact}" for name, fact in facts.items()),
        "table": "\n\n".join(map(_describe, results)),
        "targets": _literal(_judge(results)),
    }
    return render_page(BENCHMARKS_PAGE, "benchmarks.md", values, version)


def _describe(record: Mapping[str, Any]) -> str:
    says = str(record["says"])
    head = f"{says[0].upper()}{says[1:]} ({record['server']}):"
    lines = _compare_tools(record) if "tools" in record else _tell_requests(record)
    return f"{head}\n\n{_literal(lines)}"


def _compare_tools(record: Mapping[str, Any]) -> list[str]:
    own = record["tools"][_OURS]
    lines = [f"{'':13}{'wall s':>8}{'CPU s':>8}{'MiB':>6}{'wall':>8}{'CPU':>7}"]
    for name, one in record["tools"].items():
        line = f"{name:13}{one['wall_seconds']:8.2f}{one['cpu_seconds']:8.2f}{one['peak_mib']:6.0f}"
        if name != _OURS:
            wall = own["wall_seconds"] / max(one["wall_seconds"], 0.001)
            cpu = own["cpu_seconds"] / max(one["cpu_seconds"], 0.001)
            line += f"{wall:7.2f}x{cpu:6.2f}x"
        lines.append(line)
    return lines


def _tell_requests(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of a server; its CPU is that for one request."""
    yield f"{'':16}{'a second':>9}{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}"
    for name, one in record["requests"].items():
        yield (
            f"{name:16}{one['per_second']:9.0f}{one['p50_ms']:8.1f}{one['p99_ms']:8.1f}"
            f"{one['server_cpu_ms']:8.2f}"
        )
    memory = record["memory"]
    yield (
        f"memory: {memory['began_mib']:.0f} MiB, and {memory['ended_mib']:.0f} MiB "
        f"{memory['requests']:,} requests later"
    )


def _judge(results: list[Mapping[str, Any]]) -> Iterator[str]:
    for record in results:
        for one in record["targets"]:
            met = "met" if one["met"] else "missed"
            name = f"{record['workload']} ({record['server']})"
            yield f"{name:32} {one['target']:24} {one['measured']:7.2f}  {met}"


def _literal(lines: Any) -> str:
    return "\n".join(f"    {line}" for line in lines)
