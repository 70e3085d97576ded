"""`orchestrator lifecycle`: retention, by rules of the bucket."""

import click

from orchestrator_cli.cli.commands.lifecycle.render import render
from orchestrator_cli.cli.commands.lifecycle.rules import apply, plan, show
from orchestrator_cli.cli.options import CommandGroup, Example

HELP = """\
Retention: archive, expire and clean up by rules of the bucket.

S3 itself does the work, once a day. Objects of executions/ over 128 KiB move to Glacier Deep
Archive after 90 days; history/ is deleted after 180 days and live/ after 7; unfinished uploads
end after 7 days, replaced versions after 30. metadata.json stays as long as its artifacts.

\b
Why over 128 KiB: every object in Deep Archive carries 40 KiB more, 32 of them
at its price and 8 at STANDARD's. A GiB-month costs, in us-east-1:
    STANDARD                        $0.023
    DEEP_ARCHIVE, 1 MiB objects     $0.0012   19 times less
    DEEP_ARCHIVE, 128 KiB objects   $0.0027    9 times less
    DEEP_ARCHIVE, 4 KiB objects     $0.0549    2 times more
The move itself is $0.05 per 1,000 objects: for one of 128 KiB that is 20 months
of what it saves, for one of 1 MiB under 3. Deep Archive is paid for 180 days at
least, and read only after `orchestrator restore`, which takes 12 to 48 hours.

The size is in the rule itself, so it holds whatever the bucket's
TransitionDefaultMinimumObjectSize says. That is set to all_storage_classes_128K where the
bucket has no rules yet, and left as it is otherwise: it decides about rules of others.
"""


@click.group(
    cls=CommandGroup,
    help=HELP,
    examples=(
        Example("what would change", "orchestrator lifecycle plan"),
        Example("set the rules", "orchestrator lifecycle apply"),
        Example("fail in CI where somebody changed them", "orchestrator lifecycle apply --check"),
        Example("as infrastructure as code", "orchestrator lifecycle render > retention.tf"),
    ),
    exit_codes=(0, 1, 2, 3, 4, 5, 6, 9),
)
def lifecycle() -> None:
    pass


for _command in (apply, plan, show, render):
    lifecycle.add_command(_command)
