"""`orchestrator deploy iam`: a policy for each role."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command


def _known_region(app: App) -> str | None:
    """Return the region, or None where nothing names one: a policy needs only its partition."""
    from orchestrator_cli.core.base.errors import UsageError

    try:
        return app.connections.region
    except UsageError:
        return None


@command(
    examples=(
        Example("for runners on EC2 and EKS", "orchestrator deploy iam --role runner"),
        Example(
            "for a bucket that demands a key and a tag",
            "orchestrator deploy iam --sse-kms-key-id alias/results --tag cost-centre=qa",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--role",
    type=click.Choice(["runner", "bench", "reader"]),
    default="runner",
    show_default=True,
    help="runner: run, new, upload, finish. bench: sync-efs. reader: ls, logs, url, download.",
)
@pass_app
def iam(app: App, role: str) -> None:
    """Print an IAM policy with the least that a role needs.

    Files can be created but not overwritten, and only orchestrator's own prefixes can be listed.
    With a region of China or GovCloud in --region or AWS_REGION, the ARNs are of its partition.
    With --sse-kms-key-id, the role may use that key; with --tag, it may tag what it stores.
    `doctor` needs s3:DeleteObject on what it stores; without it, it stores nothing.
    """
    from orchestrator_cli.infrastructure.iam import Role, render_iam

    demands = app.settings.demands
    app.output.line(
        render_iam(app.connections.bucket, Role(role), _known_region(app), demands), end=""
    )
