"""`orchestrator history`: the finished executions as a table for Athena, DuckDB and Spark."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import CommandGroup, Example, command


@click.group(
    cls=CommandGroup,
    examples=(Example("declare the table in Athena", "orchestrator history ddl"),),
    exit_codes=(0, 2),
)
def history() -> None:
    """Query finished executions in Athena, DuckDB or Spark.

    Each finished execution is one line of JSON below history/date=YYYY-MM-DD/, so a query that
    names a day reads that day only. `finish` writes the line, and it is written anew whenever the
    execution's record changes.
    """


@command(
    examples=(
        Example(
            "an Athena table with partition projection",
            "orchestrator history ddl --table ci.executions",
        ),
        Example("a DuckDB view", "orchestrator history ddl --format duckdb > history.sql"),
        Example(
            "a copy on this disk",
            "aws s3 sync s3://$ORCHESTRATOR_BUCKET/history/ history/ && "
            "orchestrator history ddl --format duckdb --location history/",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--format",
    "dialect",
    type=click.Choice(["athena", "duckdb", "spark"]),
    default="athena",
    show_default=True,
    help="The program that reads the table.",
)
@click.option(
    "--table",
    metavar="[DATABASE.]TABLE",
    default="history",
    show_default=True,
    help="The name of the table.",
)
@click.option(
    "--location", metavar="DIR/", help="Read a copy of history/ in place of the bucket's own."
)
@pass_app
def ddl(app: App, dialect: str, table: str, location: str | None) -> None:
    """Print the statement that declares the history as a table.

    Sends no request: the columns are those of this version. Name a day in the query, as in
    WHERE date = '2026-01-31' AND result = 'fail', and only that day is read. DuckDB reads the
    bucket with its extension httpfs and a secret of type s3. In Athena the times are text:
    from_iso8601_timestamp(ended_at) makes timestamps of them.
    """
    from orchestrator_cli.infrastructure.history_ddl import Dialect, location_of, render_table

    place = location.rstrip("/") + "/" if location else location_of(app.connections.bucket)
    app.output.line(render_table(Dialect(dialect), place, table), end="")


history.add_command(ddl)
