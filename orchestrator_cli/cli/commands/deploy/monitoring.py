"""`orchestrator deploy alerts` and `grafana`: what watches the metrics."""

from __future__ import annotations

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command


@command(
    examples=(Example("for Prometheus' rule_files", "orchestrator deploy alerts > rules.yml"),),
    exit_codes=(0, 2),
)
@pass_app
def alerts(app: App) -> None:
    """Print alert rules for Prometheus.

    They use the metrics of --metrics-file, --metrics-push and --metrics-otlp; see
    orchestrator-metrics(7).
    """
    from orchestrator_cli.infrastructure.alerts import render_alerts

    app.output.line(render_alerts(), end="")


@command(
    examples=(
        Example("to import under Dashboards", "orchestrator deploy grafana > orchestrator.json"),
    ),
    exit_codes=(0, 2),
)
@pass_app
def grafana(app: App) -> None:
    """Print a dashboard for Grafana.

    It shows the metrics of --metrics-file, --metrics-push and --metrics-otlp; see
    orchestrator-metrics(7).
    """
    from orchestrator_cli.infrastructure.dashboard import render_dashboard

    app.output.line(render_dashboard(), end="")
