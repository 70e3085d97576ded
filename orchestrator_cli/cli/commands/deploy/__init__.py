"""`orchestrator deploy`: files to copy for benches, EC2, EKS and CI.

It must not know what the files say.
"""

from __future__ import annotations

import click

from orchestrator_cli.cli.commands.deploy.bench import systemd
from orchestrator_cli.cli.commands.deploy.ci import github, gitlab, jenkins
from orchestrator_cli.cli.commands.deploy.ec2 import ec2
from orchestrator_cli.cli.commands.deploy.eks import eks
from orchestrator_cli.cli.commands.deploy.iam import iam
from orchestrator_cli.cli.commands.deploy.image import image
from orchestrator_cli.cli.commands.deploy.monitoring import alerts, grafana
from orchestrator_cli.cli.commands.deploy.serve import serve
from orchestrator_cli.cli.options import CommandGroup, Example


@click.group(
    cls=CommandGroup,
    examples=(
        Example("a bench's unit", "orchestrator deploy systemd --bench bench-07"),
        Example("what a bench's credentials must allow", "orchestrator deploy iam --role bench"),
    ),
    exit_codes=(0, 2),
)
def deploy() -> None:
    """Print files to copy: benches, EC2, EKS, CI, serve, IAM, alerts.

    The bucket and the region go into the files. Nothing is changed anywhere and no request is
    sent. orchestrator-deployment(7) says step by step what to do with each file.
    """


for _member in (systemd, ec2, eks, image, github, gitlab, jenkins, serve, iam, alerts, grafana):
    deploy.add_command(_member)
