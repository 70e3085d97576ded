"""`orchestrator deploy`: files to copy for benches, EC2 and EKS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import CommandGroup, Example, command

if TYPE_CHECKING:
    from orchestrator_cli.infrastructure.target import BucketTarget


@click.group(
    cls=CommandGroup,
    examples=(
        Example("a bench's unit", "orchestrator deploy systemd --bench bench-07"),
        Example("what a bench's credentials must allow", "orchestrator deploy iam --role bench"),
    ),
    exit_codes=(0, 2),
)
def deploy() -> None:
    """Print files to copy: systemd, EC2, EKS, IAM, alerts, Grafana.

    The bucket and the region go into the files. Nothing is changed anywhere and no request is
    sent. orchestrator-deployment(7) says step by step what to do with each file.
    """


def _target(app: App) -> BucketTarget:
    from orchestrator_cli.infrastructure.target import BucketTarget

    return BucketTarget(app.bucket, app.region)


@command(
    examples=(
        Example(
            "a unit that watches",
            "orchestrator deploy systemd --bench bench-07 > orchestrator-sync.service",
        ),
        Example("a service and a timer", "orchestrator deploy systemd --timer 5m"),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--root",
    default="/mnt/bench-logs",
    show_default=True,
    help="Where the EFS is mounted.",
)
@click.option("--bench", metavar="BENCH_ID", help="This bench only.")
@click.option("--user", default="orchestrator", show_default=True, help="The user that runs it.")
@click.option(
    "--program",
    default="/opt/orchestrator/bin/orchestrator",
    show_default=True,
    help="Where the command is installed.",
)
@click.option(
    "--timer",
    metavar="SPAN",
    help="Print a service and a timer that starts it this often, such as 5m, in place of --watch.",
)
@pass_app
def systemd(
    app: App, root: str, bench: str | None, user: str, program: str, timer: str | None
) -> None:
    """Print the units that sync a bench."""
    from orchestrator_cli.infrastructure.runners.systemd import render_systemd

    text = render_systemd(_target(app), root, bench, user, program, timer)
    app.output.line(text, end="")


@command(
    examples=(
        Example(
            "a suite on a fresh instance",
            "orchestrator deploy ec2 --package https://wheels.example/orchestrator_cli.whl "
            "--suite smoke -- pytest --junitxml results/junit.xml",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option("--package", required=True, help="The wheel that pip installs: a URL or a path.")
@click.option("--suite", metavar="S", help="The test suite.")
@click.option(
    "--artifacts",
    default="results",
    show_default=True,
    help="The directory that is stored at the end.",
)
@click.argument("cmd", metavar="CMD…", nargs=-1, required=True)
@pass_app
def ec2(app: App, package: str, suite: str | None, artifacts: str, cmd: tuple[str, ...]) -> None:
    """Print user data that runs a suite on an instance."""
    from orchestrator_cli.infrastructure.runners.ec2 import render_ec2

    app.output.line(render_ec2(_target(app), package, suite, artifacts, cmd), end="")


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
    default="tests",
    show_default=True,
    help="The service account, and the beginning of each Job's name.",
)
@click.option("--namespace", default="default", show_default=True, help="The namespace.")
@click.option(
    "--role-arn",
    metavar="ARN",
    help="The IAM role of the service account. Without it, EKS Pod Identity has to name one.",
)
@click.option("--image", required=True, help="An image with this tool and sh.")
@click.option("--test-image", required=True, help="An image with the tests and sh.")
@click.option("--suite", metavar="S", help="The test suite.")
@click.option("--cpu", default="2", show_default=True, help="The CPUs that the tests may use.")
@click.option("--memory", default="4Gi", show_default=True, help="The memory of the tests.")
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
    part: str,
    cmd: tuple[str, ...],
) -> None:
    """Print a service account and a job with a sidecar.

    CMD writes what is to be kept below /artifacts. A native sidecar, of Kubernetes 1.29 and newer,
    stores it when the tests have ended, and records the result. The container of the tests gets
    neither the role nor any other right: it cannot reach the bucket. Each job gets a name of its
    own: use kubectl create.
    """
    from orchestrator_cli.infrastructure.runners.eks import JobSpec, Part, render_eks

    job = JobSpec(name, namespace, image, test_image, suite, cmd, cpu, memory)
    app.output.line(render_eks(_target(app), job, role_arn, Part(part)), end="")


def _known_region(app: App) -> str | None:
    """Return the region, or None where nothing names one: a policy needs only its partition."""
    from orchestrator_cli.core.base.errors import UsageError

    try:
        return app.region
    except UsageError:
        return None


@command(
    examples=(Example("for runners on EC2 and EKS", "orchestrator deploy iam --role runner"),),
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

    Files can be created but not overwritten, and only our own prefixes can be listed. With a region
    of China or GovCloud in --region or AWS_REGION, the ARNs are of its partition. With keys of your
    own in KMS, the role needs kms:GenerateDataKey and kms:Decrypt as well. `doctor` needs
    s3:DeleteObject on what it stores; without it, it stores nothing.
    """
    from orchestrator_cli.infrastructure.iam import Role, render_iam

    app.output.line(render_iam(app.bucket, Role(role), _known_region(app)), end="")


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


for _member in (systemd, ec2, eks, iam, alerts, grafana):
    deploy.add_command(_member)
