"""`deploy alerts` and `deploy grafana`: valid files, over metrics that are really counted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestrator_cli.core.metrics import METRICS, Kind, Measured
from orchestrator_cli.core.metrics_file import render
from tests.conftest import RunCommand

_NAME = re.compile(r"\b(?:artifact|efs)_\w+")


def exported() -> set[str]:
    """Return the name of every sample that the exposition can have."""
    measured = Measured()
    for metric in METRICS:
        labels = tuple("x" for _ in metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            measured.observe(metric, labels, 1)
        elif metric.kind is Kind.COUNTER:
            measured.count(metric, labels)
        else:
            measured.gauges[metric.name, labels] = 1
    families = text_string_to_metric_families(render(measured).decode())
    return {sample.name for family in families for sample in family.samples}


def check_expression(expression: str) -> None:
    assert set(_NAME.findall(expression)) <= exported(), expression
    assert _NAME.search(expression), expression
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing), expression


@pytest.fixture
def rules(cli: RunCommand) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(cli("deploy", "alerts").ok().out)["groups"]
    assert set(group) == {"name", "rules"}
    return list(group["rules"])


def test_the_rules_are_prometheus_rules(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[mhs]", rule["for"])
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"]
        check_expression(rule["expr"])


def test_a_summary_uses_only_labels_that_its_expression_keeps(
    rules: list[dict[str, Any]],
) -> None:
    for rule in rules:
        kept = re.search(r"by \(([^)]*)\)", rule["expr"])
        # Without a sum every label of the target stays.
        labels = set(kept[1].split(", ")) if kept else {"instance"}
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= labels


def test_the_dashboard_asks_for_its_source_and_has_its_own_panels(cli: RunCommand) -> None:
    board = json.loads(cli("deploy", "grafana").ok().out)
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            check_expression(target["expr"])


def test_every_metric_has_a_panel(cli: RunCommand) -> None:
    text = cli("deploy", "grafana").ok().out
    assert all(metric.name in text for metric in METRICS)
