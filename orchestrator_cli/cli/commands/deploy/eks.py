"""`orchestrator deploy eks`: a service account and a job."""

from __future__ import annotations

from datetime import timedelta

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import DURATION, Example, command


@command(
    examples=(
        Example(
            "a job whose output is stored",
            "orchestrator deploy eks --image registry.example/orchestrator:1 "
            "--test-image registry.example/tests:1 -- pytest -q",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--name",
    metavar="NAME",
    default="tests",
    show_default=True,
    help="The service account, and the beginning of each Job's name.",
)
@click.option(
    "--namespace", metavar="NAME", default="default", show_default=True, help="The namespace."
)
@click.option(
    "--role-arn",
    metavar="ARN",
    help="The IAM role of the service account. Without it, EKS Pod Identity has to name one.",
)
@click.option("--image", metavar="IMAGE", required=True, help="An image with this program and sh.")
@click.option(
    "--test-image", metavar="IMAGE", required=True, help="An image with the tests and sh."
)
@click.option("--suite", metavar="S", help="The test suite.")
@click.option(
    "--cpu", metavar="N", default="2", show_default=True, help="The CPUs that the tests may use."
)
@click.option(
    "--memory", metavar="SIZE", default="4Gi", show_default=True, help="The memory of the tests."
)
@click.option(
    "--hold",
    type=DURATION,
    default="1h",
    show_default=True,
    help="The most time that a pod whose tests have ended waits for S3.",
)
@click.option(
    "--part",
    type=click.Choice(["all", "account", "job"]),
    default="all",
    show_default=True,
    help="What to print; the account is made once, a job for each run.",
)
@click.argument("cmd", metavar="CMD…", nargs=-1, required=True)
@pass_app
def eks(
    app: App,
    name: str,
    namespace: str,
    role_arn: str | None,
    image: str,
    test_image: str,
    suite: str | None,
    cpu: str,
    memory: str,
    hold: timedelta,
    part: str,
    cmd: tuple[str, ...],
) -> None:
    """Print a service account and a job with a sidecar.

    CMD writes what is to be kept below /artifacts. A native sidecar, of Kubernetes 1.29 and newer,
    stores its output while it runs and the rest when it has ended, and records the result. CMD runs
    whatever S3 does; a pod that could not store everything stays for --hold. The container of the
    tests gets neither the role nor any other right: it cannot reach the bucket. Each job gets a
    name of its own: use kubectl create.
    """
    from orchestrator_cli.infrastructure.runners.eks import JobSpec, ManifestSet, render_eks

    job = JobSpec(
        name, namespace, image, test_image, suite, cmd, cpu, memory, int(hold.total_seconds())
    )
    app.output.line(render_eks(bucket_target(app), job, role_arn, ManifestSet(part)), end="")
