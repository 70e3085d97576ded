"""`orchestrator deploy image`: a Dockerfile."""

from __future__ import annotations

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command


@command(
    examples=(
        Example(
            "in a checkout after `make build`",
            "orchestrator deploy image | docker build --tag REGISTRY/orchestrator:1 --file - .",
        ),
    ),
    exit_codes=(0, 2),
)
@pass_app
def image(app: App) -> None:
    """Print a Dockerfile of an image with this program.

    It is the image of the sidecar of `deploy eks`, and of the pods of `deploy serve`.
    """
    from orchestrator_cli.infrastructure.runners.image import render_dockerfile

    app.output.line(render_dockerfile(), end="")
