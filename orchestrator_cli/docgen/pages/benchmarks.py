"""orchestrator-benchmarks(7): the text of benchmarks.md with the last measured results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from orchestrator_cli.docgen.manpages import BENCHMARKS_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage

Record = Mapping[str, Any]

_OURS = "orchestrator"
_BESIDE = "s5cmd"
_NEAR = ("sink", "counting server")


def render_benchmarks_page(version: str) -> str:
    """Return the page. Raises ValueError for a workload without a placeholder in the text."""
    package = resources.files("orchestrator_cli.docgen")
    measured = json.loads(package.joinpath("text", "benchmarks.json").read_text(encoding="utf-8"))
    text = package.joinpath("text", "benchmarks.md").read_text(encoding="utf-8")
    values = fill_placeholders(measured, set(Template(text).get_identifiers()))
    return render_manpage(BENCHMARKS_PAGE, "benchmarks.md", values, version)


def fill_placeholders(measured: Mapping[str, Any], names: set[str]) -> dict[str, str]:
    """Return a text for each placeholder. Raises ValueError for a workload without one."""
    results = measured["results"]
    values = {
        "machine": _literal(f"{name:14} {fact}" for name, fact in measured["facts"].items()),
        "beside": _literal(_compare_servers(results)),
        "targets": _literal(_judge(results)),
        "boto3": _compare_boto3(results),
    }
    for record in results:
        name = record["workload"].replace("-", "_")
        text = _describe(record)
        values[name] = f"{values[name]}\n\n{text}" if name in values else text
    if missing := values.keys() - names:
        raise ValueError(f"benchmarks.md has no placeholder for {', '.join(sorted(missing))}")
    return {name: f"    {name.replace('_', '-')}: not measured" for name in names} | values


def _compare_servers(results: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each workload and server: the ratios of wall clock and CPU to s5cmd."""
    cells: dict[str, dict[str, str]] = {}
    for record in results:
        tools = record.get("tools", {})
        if _OURS in tools and _BESIDE in tools:
            ratios = _ratios(tools[_OURS], tools[_BESIDE])
            cells.setdefault(record["workload"], {})[_distance(record["server"])] = ratios
    yield f"{'':38}{'wall':>7}{'CPU':>7}"
    for workload, those in cells.items():
        for distance, ratios in those.items():
            yield f"{workload + distance:38}{ratios:>15}"


def _compare_boto3(results: Sequence[Record]) -> str:
    """Return a sentence for each workload that boto3 did near the server."""
    sentences = []
    for record in results:
        tools = record.get("tools", {})
        peers = [name for name in tools if name.startswith("boto3")]
        if _OURS in tools and peers and record["server"] in _NEAR:
            figures = ", ".join(
                f"{name} {tools[name]['wall_seconds']:.2f} s and {tools[name]['cpu_seconds']:.2f} s"
                for name in [_OURS, *peers]
            )
            sentences.append(f"To {record['says']} took (wall clock and CPU): {figures}.")
    return " ".join(sentences) or "It was not measured."


def _where(server: str) -> str:
    """Return the distance of a server, `near` without one, or its name."""
    for name in _NEAR:
        if server.startswith(name):
            return server.removeprefix(name).removeprefix(", ") or "near"
    return server


def _distance(server: str) -> str:
    """Return what is added to a workload's name: nothing near the server."""
    where = _where(server)
    return "" if where == "near" else f", {where}"


def _describe(record: Record) -> str:
    says = str(record["says"])
    head = f"{says[0].upper()}{says[1:]} ({record['server']}):"
    if "tools" in record:
        lines = _compare_tools(record["tools"])
    elif "gib_per_second" in record:
        lines = _tell_rates(record["gib_per_second"])
    else:
        lines = _tell_requests(record)
    return f"{head}\n\n{_literal(lines)}"


def _compare_tools(tools: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    more = list(next(iter(tools.values())).get("more", ()))
    column = more[0] if len(more) == 1 else ""
    width = max(13, *(len(name) + 1 for name in tools))
    head = f"{'':{width}}{'wall s':>7}{'min–max':>14}{'CPU s':>8}{'MiB':>5}"
    yield head + (f"{column:>15}" if column else f"{'wall':>9}{'CPU':>7}" if _OURS in tools else "")
    for name, one in tools.items():
        span = f"{one['fastest_seconds']:.2f}–{one['slowest_seconds']:.2f}"
        line = f"{name:{width}}{one['wall_seconds']:7.2f}{span:>14}"
        line += f"{one['cpu_seconds']:8.2f}{one['peak_mib']:5.0f}"
        if column:
            line += f"{one['more'][column]:15.2f}"
        elif _OURS in tools and name != _OURS:
            line += f"{_ratios(tools[_OURS], one):>16}"
        yield line
    if len(more) > 1:
        yield from _tell_more(tools, more)


def _tell_more(tools: Mapping[str, Mapping[str, Any]], more: Iterable[str]) -> Iterator[str]:
    """Yield a line for each additional figure."""
    yield ""
    yield f"{'':22}" + "".join(f"{name:>14}" for name in tools)
    for measure in more:
        those = (one["more"].get(measure) for one in tools.values())
        cells = ("" if value is None else f"{value:.2f}" for value in those)
        yield (f"{measure:22}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()


def _ratios(own: Mapping[str, float], other: Mapping[str, float]) -> str:
    wall = own["wall_seconds"] / max(other["wall_seconds"], 0.001)
    cpu = own["cpu_seconds"] / max(other["cpu_seconds"], 0.001)
    return f"{wall:.2f}x{cpu:6.2f}x"


def _tell_rates(rates: Mapping[str, float]) -> Iterator[str]:
    for name, rate in rates.items():
        yield f"{name:16}{rate:7.2f} GiB/s"


def _tell_requests(record: Record) -> Iterator[str]:
    """Yield the figures of a server. The CPU time is that of one request."""
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


def _judge(results: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each target, those of one workload together."""
    workloads = list(dict.fromkeys(record["workload"] for record in results))
    for record in sorted(results, key=lambda one: workloads.index(one["workload"])):
        for one in record["targets"]:
            verdict = ("met" if one["met"] else "missed") + _distance(record["server"])
            yield f"{record['workload']:15}{one['target']:37}{one['measured']:7.2f}  {verdict}"


def _literal(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" if line else "    " for line in lines)
