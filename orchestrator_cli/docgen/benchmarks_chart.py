"""The bar chart of the benchmarks: the seconds of each tool for each workload."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

Record = Mapping[str, Any]

OURS = "orchestrator"
_SERVER = "sink"
_TOOLS = (OURS, "s5cmd", "rclone", "aws", "boto3", "boto3 with CRT", "curl and grep")
_WIDTH = 760
_NAMES_WIDTH = 120
_BARS_WIDTH = 520
_ROW_HEIGHT = 18
_BAR_HEIGHT = 12
_TITLE_HEIGHT = 26
_GAP = 10
# The page around the chart may be light or dark. The text adapts; the bars are readable on both.
_STYLE = """\
text { font: 12px sans-serif; fill: #24292f; }
.title { font-weight: bold; }
.ours { fill: #2f81f7; }
.peer { fill: #8b949e; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }"""


def render_benchmarks_chart() -> str:
    """Return the chart of benchmarks.json as SVG."""
    package = resources.files("orchestrator_cli.docgen")
    measured = json.loads(package.joinpath("text", "benchmarks.json").read_text(encoding="utf-8"))
    return draw_chart(measured["results"])


def draw_chart(results: Sequence[Record]) -> str:
    """Return a chart of the workloads that were measured near the server; less is better.

    Each group of bars has a scale of its own: the bar of its slowest tool fills the width.
    """
    shapes: list[str] = []
    top = _GAP
    for record in results:
        seconds = _seconds(record)
        if OURS in seconds and len(seconds) > 1:
            shapes += _draw_group(str(record["says"]), seconds, top)
            top += _TITLE_HEIGHT + len(seconds) * _ROW_HEIGHT + _GAP
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" height="{top}" '
        f'viewBox="0 0 {_WIDTH} {top}">\n<title>Seconds for the same work; less is better</title>\n'
        f"<style>\n{_STYLE}\n</style>\n{body}\n</svg>\n"
    )


def _seconds(record: Record) -> dict[str, float]:
    """Return the seconds of each tool in the chart; none if another server was used."""
    tools = record.get("tools", {}) if record["server"] == _SERVER else {}
    return {name: tools[name]["wall_seconds"] for name in _TOOLS if name in tools}


def _draw_group(title: str, seconds: Mapping[str, float], top: int) -> Iterator[str]:
    shown = escape(title[0].upper() + title[1:])
    yield f'<text class="title" x="{_GAP}" y="{top + _BAR_HEIGHT}">{shown}</text>'
    slowest = max(seconds.values())
    for number, (name, value) in enumerate(seconds.items()):
        y = top + _TITLE_HEIGHT + number * _ROW_HEIGHT
        width = max(1, round(_BARS_WIDTH * value / slowest)) if slowest else 1
        kind = "ours" if name == OURS else "peer"
        text_y = y + _BAR_HEIGHT - 2
        yield f'<text x="{_NAMES_WIDTH - 6}" y="{text_y}" text-anchor="end">{escape(name)}</text>'
        yield (
            f'<rect class="{kind}" x="{_NAMES_WIDTH}" y="{y}" width="{width}" '
            f'height="{_BAR_HEIGHT}"/>'
        )
        yield f'<text x="{_NAMES_WIDTH + width + 6}" y="{text_y}">{value:.2f} s</text>'
