"""The chart of the benchmarks shows the measured seconds, to scale."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from orchestrator_cli.docgen.benchmarks_chart import draw_chart

SVG = "{http://www.w3.org/2000/svg}"


def record(server: str = "sink", **seconds: float) -> dict[str, Any]:
    tools = {name: {"wall_seconds": value} for name, value in seconds.items()}
    return {"workload": "x", "says": "upload <all>", "server": server, "tools": tools}


def test_bars_are_scaled_to_the_slowest_tool() -> None:
    root = ET.fromstring(draw_chart([record(orchestrator=0.5, s5cmd=1.0, aws=2.0)]))
    widths = [int(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect")]
    assert widths[2] == 2 * widths[1] == 4 * widths[0]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["Upload <all>", "orchestrator", "0.50 s", "s5cmd", "1.00 s", "aws", "2.00 s"]


def test_other_servers_and_workloads_without_a_peer_are_left_out() -> None:
    alone = record(orchestrator=1.0)
    far = record("sink, 50 ms away", orchestrator=1.0, s5cmd=1.0)
    root = ET.fromstring(draw_chart([alone, far]))
    assert not list(root.iter(f"{SVG}rect"))
