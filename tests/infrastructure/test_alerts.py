"""`deploy alerts` and `deploy grafana` print valid files about metrics that exist."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import promql_parser
import pytest
import yaml

from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.registry import METRICS, MetricKind
from orchestrator_cli.core.metrics.totals import Totals, render
from tests.support.commands.running import RunCommand
from tests.support.servers.promql import check_expression, kept_labels, parse, sample_names
from tests.support.stored.samples import parse_samples

_LABEL = re.compile(r"\$labels\.(\w+)")


@pytest.fixture
def rules(cli: RunCommand) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(cli("deploy", "alerts").ok().out)["groups"]
    assert set(group) == {"name", "rules"}
    return list(group["rules"])


def test_promtool_accepts_the_alert_rules(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
        # The parser refuses a duration of zero; Prometheus accepts it.
        assert rule["for"] == "0m" or promql_parser.parse_duration(rule["for"]) > timedelta(0)
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"]
        check_expression(rule["expr"])


def test_summaries_use_only_labels_of_their_expressions(
    rules: list[dict[str, Any]],
) -> None:
    for rule in rules:
        used = set(_LABEL.findall(rule["annotations"]["summary"]))
        assert used
        assert used <= kept_labels(parse(rule["expr"])), rule


def test_the_dashboard_asks_for_its_data_source(cli: RunCommand) -> None:
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
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert used <= kept_labels(parse(target["expr"])), target


def test_every_metric_has_a_panel(cli: RunCommand) -> None:
    text = cli("deploy", "grafana").ok().out
    assert all(metric.name in text for metric in METRICS)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("sum by (command (rate(artifact_failures_total[5m]))", "parenthesis"),
        ("rate(artifact_failures_total)", "matrix"),
        ("rate(artifact_failures_total[5x])", "duration"),
        ("growth(artifact_failures_total[5m])", "unknown function"),
        ("artifact_upload_duration > 3", "nothing counts"),
        ("artifact_uploads_total", "nothing counts"),
        ('artifact_failures_total{outcome="created"}', "has no"),
        ('artifact_failures_total{reason="bored"}', "bored"),
        ("sum by (outcome) (artifact_failures_total)", "is not by"),
        ("sum by (le) (rate(artifact_size_bytes_count[5m]))", "is not by"),
        ("increase(efs_sync_backlog_files[1h])", "backlog"),
        ("histogram_quantile(0.9, sum (rate(artifact_size_bytes_bucket[5m])))", "quantile"),
        ("histogram_quantile(0.9, sum by (command) (rate(artifact_size_bytes_sum[5m])))", "sum"),
        ("time() > bool 3", "time"),
    ],
)
def test_a_wrong_expression_is_found(expression: str, why: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=why):
        check_expression(expression)


def test_expressions_use_exported_metric_names() -> None:
    measured = MetricsSnapshot()
    for metric in METRICS:
        labels = tuple("x" for _ in metric.labels)
        if metric.kind is MetricKind.HISTOGRAM:
            measured.observe(metric, labels, 1)
        elif metric.kind is MetricKind.COUNTER:
            measured.count(metric, labels)
        else:
            measured.gauges[metric.name, labels] = 1
    totals = Totals()
    totals.add(measured)
    assert {name for name, _ in parse_samples(render(totals).decode())} == set(sample_names())
