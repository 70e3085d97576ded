"""The options that make a command count what it does, and say where the counts go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.environment import state_home
from orchestrator_cli.cli.configuration.settings import GO_ON_WITHOUT_SETTINGS
from orchestrator_cli.cli.options.common import F, add_options
from orchestrator_cli.core.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator_cli.cli.metrics_setup import CommandMetrics


def metrics_options(function: F) -> F:
    """Add --metrics-…; the metrics are exported when the command ends, however it ends."""
    options = (
        _metrics_option(
            "--metrics-file",
            lambda app, metrics, path: metrics.to_file(path),
            type=click.Path(dir_okay=False, path_type=Path),
            help="Add this command's metrics to this file, for Prometheus. See "
            "orchestrator-metrics(7).",
        ),
        _metrics_option(
            "--metrics-push",
            lambda app, metrics, url: metrics.to_gateway(
                url, state_home(), app.connections.ca_bundle(url)
            ),
            metavar="URL",
            help="Push this command's metrics to this Prometheus Pushgateway, added to those of "
            "earlier commands.",
        ),
        _metrics_option(
            "--metrics-otlp",
            lambda app, metrics, url: metrics.to_receiver(url, app.connections.ca_bundle(url)),
            metavar="URL",
            help="Send this command's metrics to this OTLP receiver; `env`: to the one that "
            "OpenTelemetry's own variables name.",
        ),
    )
    return add_options(function, options)


def _metrics_option(
    name: str, begin: Callable[[App, CommandMetrics, Any], None], **settings: Any
) -> Any:
    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is None or ctx.resilient_parsing:
            return
        app = ctx.ensure_object(App)
        if app.metrics is None:
            ctx.call_on_close(app.write_metrics)
        try:
            begin(app, app.enable_metrics(str(ctx.info_name)), value)
        except UsageError as error:
            if ctx.info_name not in GO_ON_WITHOUT_SETTINGS:
                raise
            app.messages.warn(f"{name}: {error.message}: nothing is counted there")

    return click.option(name, expose_value=False, callback=callback, **settings)
