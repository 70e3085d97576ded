"""A Grafana dashboard of this program's metrics."""

from __future__ import annotations

import json
from typing import Any

from orchestrator_cli.core.metrics.registry import (
    BACKLOG_FILES,
    DURATION,
    FAILURES,
    LAST_PASS,
    RESUMED,
    RETRIES,
    SIZE,
)

_RANGE = "$__rate_interval"

# Title, Grafana's name of the unit, expressions by legend.
_PANELS = (
    (
        "Files stored",
        "short",
        {
            "{{command}} {{outcome}}": "sum by (command, outcome) "
            f"(rate({SIZE.name}_count[{_RANGE}]))"
        },
    ),
    (
        "Bytes stored",
        "Bps",
        {"{{command}}": f'sum by (command) (rate({SIZE.name}_sum{{outcome="created"}}[{_RANGE}]))'},
    ),
    (
        "Time to store a file",
        "s",
        {
            f"p{round(100 * share)}": f"histogram_quantile({share}, sum by (le) "
            f"(rate({DURATION.name}_bucket[{_RANGE}])))"
            for share in (0.5, 0.95, 0.99)
        },
    ),
    (
        "Size of files",
        "bytes",
        {
            f"p{round(100 * share)}": f"histogram_quantile({share}, sum by (le) "
            f"(rate({SIZE.name}_bucket[{_RANGE}])))"
            for share in (0.5, 0.95)
        },
    ),
    (
        "Files not stored",
        "short",
        {
            "{{command}} {{reason}}": "sum by (command, reason) "
            f"(increase({FAILURES.name}[{_RANGE}]))"
        },
    ),
    (
        "Retried requests",
        "short",
        {"{{reason}}": f"sum by (reason) (increase({RETRIES.name}[{_RANGE}]))"},
    ),
    (
        "Bytes resumed from interrupted uploads",
        "bytes",
        {"{{command}}": f"sum by (command) (increase({RESUMED.name}[{_RANGE}]))"},
    ),
    ("Files waiting on EFS", "short", {"{{instance}}": BACKLOG_FILES.name}),
    ("Time since the last pass over EFS", "s", {"{{instance}}": f"time() - {LAST_PASS.name}"}),
)


def render_dashboard() -> str:
    """Return the dashboard as JSON. When it is imported, Grafana asks which Prometheus to use."""
    return json.dumps(_dashboard(), indent=2) + "\n"


def _dashboard() -> dict[str, Any]:
    return {
        "uid": "orchestrator",
        "title": "orchestrator",
        "tags": ["orchestrator"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, *panel) for number, panel in enumerate(_PANELS)],
    }


def _panel(number: int, title: str, unit: str, expressions: dict[str, str]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": number % 2 * 12, "y": number // 2 * 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": source,
                "expr": text,
                "legendFormat": name,
            }
            for index, (name, text) in enumerate(expressions.items())
        ],
    }
