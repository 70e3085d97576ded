"""`orchestrator lifecycle`: retention, by rules of the bucket.

It must not know how rules are compared or written.
"""

import click

from orchestrator_cli.cli.commands.lifecycle.render import render
from orchestrator_cli.cli.commands.lifecycle.rules import APPLY_EXIT_MEANINGS, apply, plan, show
from orchestrator_cli.cli.options import CommandGroup, Example

HELP = """\
Archive and delete by age, with rules of the bucket.

S3 itself applies the rules, once a day. By default, objects of executions/ over $archive_over move
to Glacier Deep Archive after $archive_days days; lines of history/ are deleted after $history_days
days and live logs after $live_days; unfinished uploads end after $abort_days days, and replaced
versions go after $noncurrent_days. metadata.json is never archived, and stays as long as its
artifacts.

Archived objects can be read only after `orchestrator restore`, which takes $restore_standard_hours
to $restore_bulk_hours hours, and are paid for $archive_minimum_days days at least.
orchestrator-retention(7) has the life of an artifact on one page, what it costs, and why smaller
objects are left where they are.
"""


@click.group(
    cls=CommandGroup,
    help=HELP,
    examples=(
        Example("show what would change", "orchestrator lifecycle plan"),
        Example("set the rules", "orchestrator lifecycle apply"),
        Example("fail in CI where somebody changed them", "orchestrator lifecycle apply --check"),
        Example("print the rules for Terraform", "orchestrator lifecycle render > retention.tf"),
    ),
    exit_codes=(0, 1, 2, 3, 4, 5, 6, 9),
    exit_meanings=APPLY_EXIT_MEANINGS,
)
def lifecycle() -> None:
    pass


for _command in (apply, plan, show, render):
    lifecycle.add_command(_command)
