"""orchestrator-metrics(7): the text of metrics.md with the metrics of the code."""

from __future__ import annotations

from orchestrator_cli.api.metrics import SERVED
from orchestrator_cli.core.base.errors import REASONS
from orchestrator_cli.core.metrics.delivery import SEND_SECONDS
from orchestrator_cli.core.metrics.pushgateway import JOB
from orchestrator_cli.core.metrics.registry import METRICS, Metric
from orchestrator_cli.docgen.manpages import METRICS_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage


def render_metrics_page(version: str) -> str:
    """Return the page."""
    values = {
        "metrics": "\n\n".join(map(_describe, METRICS)),
        "served": "\n\n".join(map(_describe, SERVED)),
        "job": JOB,
        "seconds": f"{SEND_SECONDS:g}",
        "reasons": ", ".join(f"`{reason}` ({code})" for code, reason in REASONS.items()),
    }
    return render_manpage(METRICS_PAGE, "metrics.md", values, version)


def _describe(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    text = f"{str(metric.kind).capitalize()}. {metric.meaning} Labels: {labels}."
    if metric.buckets:
        text += f" Buckets: {', '.join(f'{bound:,.15g}' for bound in metric.buckets)}."
    return f"`{metric.name}`\n:   {text}"
