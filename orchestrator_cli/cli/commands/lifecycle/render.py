"""`orchestrator lifecycle render`: the rules as infrastructure as code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.lifecycle.policy import choose_rules, policy_options
from orchestrator_cli.cli.options import Example, WholeNumber, command, gather_options
from orchestrator_cli.core.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator_cli.core.retention.lifecycle.rule import ApiRule
    from orchestrator_cli.infrastructure.bucket_policy import BucketProtection
    from orchestrator_cli.infrastructure.roles import Access


class RenderOptions(NamedTuple):
    """The options of the command line beside the retention policy, by their names."""

    style: str
    versioning: bool
    block_public_access: bool
    encrypt: bool
    kms_key: str | None
    tls_only: bool
    write_once: bool
    object_lock: tuple[str, int] | None
    efs_days: str | None
    roles: bool
    oidc_provider: str | None

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        if self.roles and self.style == "json":
            raise UsageError(
                "--roles goes with terraform and cloudformation",
                hint="`orchestrator deploy iam` prints the policy of a role",
            )
        if self.oidc_provider and not self.roles:
            raise click.UsageError("--oidc-provider goes with --roles.")

    def protection(self) -> BucketProtection:
        """Return the protection that the bucket is asked for."""
        from orchestrator_cli.infrastructure.bucket_policy import BucketProtection

        return BucketProtection(
            versioning=self.versioning,
            block_public_access=self.block_public_access,
            kms_key=self.kms_key or ("" if self.encrypt else None),
            tls_only=self.tls_only,
            write_once=self.write_once,
            object_lock=self.object_lock,
            efs_days=int(self.efs_days) if self.efs_days else None,
        )


@command(
    examples=(
        Example("Terraform", "orchestrator --bucket results lifecycle render > retention.tf"),
        Example(
            "everything the bucket can guarantee",
            "orchestrator lifecycle render --format cloudformation --versioning \\\n"
            "    --block-public-access --encrypt --tls-only --write-once > bucket.yaml",
        ),
        Example(
            "with roles of instances and of service accounts in a cluster",
            "orchestrator lifecycle render --roles \\\n"
            "    --oidc-provider arn:aws:iam::123456789012:oidc-provider/oidc.eks… > bucket.tf",
        ),
        Example(
            "one request of the AWS CLI",
            "orchestrator lifecycle render --format json | \\\n"
            "    jq '.\"s3api put-bucket-lifecycle-configuration\"' > request.json",
        ),
    ),
    exit_codes=(0, 2),
)
@policy_options
@click.option(
    "--format",
    "style",
    type=click.Choice(["terraform", "cloudformation", "json"]),
    default="terraform",
    show_default=True,
    help="json: the input of each request, under the name of its AWS CLI command.",
)
@click.option("--versioning", is_flag=True, help="Keep replaced and deleted versions.")
@click.option("--block-public-access", is_flag=True, help="Block all public access.")
@click.option("--encrypt", is_flag=True, help="Encrypt with S3's own keys (SSE-S3).")
@click.option("--kms-key", metavar="KEY", help="Encrypt with this KMS key, an ARN or id.")
@click.option("--tls-only", is_flag=True, help="Deny requests without TLS.")
@click.option(
    "--write-once", is_flag=True, help="Deny writes without If-None-Match; parts are exempt."
)
@click.option(
    "--object-lock",
    type=(click.Choice(["governance", "compliance"]), WholeNumber(1)),
    default=None,
    metavar="MODE DAYS",
    help="Lock every new version for some days; turns versioning on.",
)
@click.option(
    "--efs-after",
    "efs_days",
    type=click.Choice(["1", "7", "14", "30", "60", "90", "180", "270", "365"]),
    metavar="DAYS",
    help="Add an EFS for the benches' logs that moves unread files to Infrequent Access.",
)
@click.option(
    "--roles",
    is_flag=True,
    help="Add roles of runners and of `serve`, a user of benches, and a policy for readers.",
)
@click.option(
    "--oidc-provider",
    metavar="ARN",
    help="Let service accounts of this EKS cluster have the roles; EKS Pod Identity always can.",
)
@gather_options(RenderOptions)
@pass_app
def render(app: App, /, options: RenderOptions, **policy: Any) -> None:
    """Print the rules as infrastructure as code.

    No request is sent. The bucket's name is filled in where --bucket gives it. The other options
    add what else the bucket can guarantee. With --object-lock, nothing can be deleted before its
    days are over, whatever the rules say.

    With --roles, the policies of `deploy iam` come with it. A role of runners and one of `serve`
    can be given to instances, by the instance profiles of the same names, and to pods. The bench's
    user has no access key yet.
    """
    options.check()
    rules = choose_rules(app, policy)
    app.output.line(_render(app, options, rules), end="")


def _render(app: App, options: RenderOptions, rules: tuple[ApiRule, ...]) -> str:
    from orchestrator_cli.infrastructure.aws_cli import render_aws_cli
    from orchestrator_cli.infrastructure.cloudformation import render_cloudformation
    from orchestrator_cli.infrastructure.terraform import render_terraform

    bucket, protection = app.settings.bucket_name, options.protection()
    if options.style == "json":
        return render_aws_cli(rules, bucket, protection, app.settings.region)
    access = _access(app, options) if options.roles else None
    if options.style == "terraform":
        return render_terraform(rules, bucket, protection, access)
    return render_cloudformation(rules, bucket, protection, access)


def _access(app: App, options: RenderOptions) -> Access:
    """Return the access that the roles give; with a KMS key of the bucket, they may use it."""
    from orchestrator_cli.core.s3.regions import partition_of
    from orchestrator_cli.infrastructure.roles import Access

    demands = app.settings.demands
    if options.kms_key:
        demands = demands._replace(kms_key=options.kms_key).checked()
    return Access(demands, partition_of(app.settings.region).name, options.oidc_provider)
