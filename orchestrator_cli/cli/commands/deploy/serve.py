"""`orchestrator deploy serve`: what keeps a server running."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import Example, WholeNumber, command


@command(
    examples=(
        Example(
            "a unit, and nginx before it",
            "orchestrator deploy serve systemd && "
            "orchestrator deploy serve nginx --server-name results.example.com",
        ),
        Example(
            "two pods on Kubernetes",
            "orchestrator deploy serve kubernetes --image REGISTRY/orchestrator:1 "
            "| kubectl apply -f -",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--port",
    type=WholeNumber(1, 65535),
    default=8080,
    show_default=True,
    help="systemd, nginx: the port on loopback that it listens on.",
)
@click.option(
    "--user",
    metavar="USER",
    default="orchestrator",
    show_default=True,
    help="systemd: the user that runs it.",
)
@click.option(
    "--program",
    metavar="PATH",
    default="/opt/orchestrator/bin/orchestrator",
    show_default=True,
    help="systemd: where the command is installed.",
)
@click.option("--server-name", metavar="HOST", help="nginx: the name that clients use.")
@click.option(
    "--image", metavar="IMAGE", help="kubernetes: an image with this program; see `deploy image`."
)
@click.option(
    "--name",
    metavar="NAME",
    default="orchestrator",
    show_default=True,
    help="kubernetes: the name of everything.",
)
@click.option(
    "--namespace",
    metavar="NAME",
    default="default",
    show_default=True,
    help="kubernetes: the namespace.",
)
@click.option("--role-arn", metavar="ARN", help="kubernetes: the IAM role of the service account.")
@click.argument("what", type=click.Choice(["systemd", "kubernetes", "nginx"]))
@pass_app
def serve(
    app: App,
    what: str,
    port: int,
    user: str,
    program: str,
    server_name: str | None,
    image: str | None,
    name: str,
    namespace: str,
    role_arn: str | None,
) -> None:
    """Print what keeps `orchestrator serve` running.

    A systemd unit that listens on loopback; nginx before it, for TLS and limits; or a Deployment
    and a Service for Kubernetes, with probes. Tokens are in a file, or in the Secret
    orchestrator-tokens; they are read again when they change.
    """
    from orchestrator_cli.infrastructure.serving import kubernetes, nginx
    from orchestrator_cli.infrastructure.systemd.serve_unit import render_serve_unit

    if what == "nginx":
        if server_name is None:
            raise click.UsageError("nginx needs --server-name.")
        text = nginx.render_nginx(server_name, port)
    elif what == "kubernetes":
        if image is None:
            raise click.UsageError("kubernetes needs --image.")
        spec = kubernetes.ServeSpec(name, namespace, image, role_arn)
        text = kubernetes.render_serve_kubernetes(bucket_target(app), spec)
    else:
        text = render_serve_unit(bucket_target(app), user, program, port)
    app.output.line(text, end="")
