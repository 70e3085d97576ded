"""The history as a table: its columns, and the statements that declare it in a query engine.

Each execution is one JSON line under `history/date=YYYY-MM-DD/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import HISTORY_PREFIX
from orchestrator_cli.infrastructure.target import validate

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
# Older than any execution that this program has stored.
_FIRST_DAY = "2020-01-01"


class Dialect(StrEnum):
    """The query engine that reads the history."""

    ATHENA = "athena"
    DUCKDB = "duckdb"
    SPARK = "spark"


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a history line. `kind` is looked up in the types of a dialect."""

    name: str
    kind: str


RUN_COLUMNS = (
    Column("command", "texts"),
    Column("host", "text"),
    Column("pid", "count"),
    Column("tool_version", "text"),
    Column("started_at", "time"),
    Column("ended_at", "time"),
    Column("duration_seconds", "number"),
    Column("exit_code", "count"),
    Column("signal", "text"),
    Column("timed_out", "flag"),
    Column("summary", "text"),
)
COLUMNS = (
    Column("schema_version", "count"),
    Column("execution_id", "text"),
    Column("reservation_id", "text"),
    Column("runner_type", "text"),
    Column("bench_id", "text"),
    Column("test_suite", "text"),
    Column("result", "text"),
    Column("status", "text"),
    Column("artifact_status", "text"),
    Column("started_at", "time"),
    Column("ended_at", "time"),
    Column("artifact_count", "count"),
    Column("artifact_bytes", "count"),
    Column("manifest_sha256", "text"),
    Column("failure_count", "count"),
    Column("labels", "labels"),
    Column("run", "run"),
)
# Athena's JSON reader cannot read a timestamp with an offset, so times are strings:
# from_iso8601_timestamp(started_at) converts them in a query.
_HIVE: Mapping[str, str] = MappingProxyType(
    {
        "text": "string",
        "texts": "array<string>",
        "count": "bigint",
        "number": "double",
        "flag": "boolean",
        "time": "string",
        "labels": "map<string,string>",
    }
)
_SPARK: Mapping[str, str] = MappingProxyType({**_HIVE, "time": "timestamp"})
_DUCKDB: Mapping[str, str] = MappingProxyType(
    {
        "text": "VARCHAR",
        "texts": "VARCHAR[]",
        "count": "BIGINT",
        "number": "DOUBLE",
        "flag": "BOOLEAN",
        "time": "TIMESTAMPTZ",
        "labels": "MAP(VARCHAR, VARCHAR)",
    }
)


def render_table(dialect: Dialect, location: str, table: str) -> str:
    """Return the statement that declares the history as a table.

    `location` is an s3:// URL or a directory, see `location_of`. Raises UsageError for a table
    name that would have to be quoted.
    """
    if not all(_NAME.fullmatch(part) for part in table.split(".")) or table.count(".") > 1:
        raise UsageError(
            f"not a table name: {printable(table)!r}",
            hint="letters, digits and _, as TABLE or DATABASE.TABLE",
        )
    return _RENDER[dialect](location, table)


def location_of(bucket: str) -> str:
    """Return the URL of a bucket's history. Raises UsageError for an invalid bucket name."""
    return f"s3://{validate('bucket name', bucket)}/{HISTORY_PREFIX}"


def _athena(location: str, table: str) -> str:
    return f"""\
CREATE EXTERNAL TABLE IF NOT EXISTS {table} (
{_hive_columns(_HIVE)}
)
PARTITIONED BY (`date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION {_quoted(location)}
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '{_FIRST_DAY},NOW',
  'projection.date.interval' = '1',
  'projection.date.interval.unit' = 'DAYS',
  'storage.location.template' = {_quoted(location + "date=${date}/")}
);
"""


def _spark(location: str, table: str) -> str:
    # Spark reads S3 by Hadoop's s3a scheme. On EMR, s3 and s3a mean the same.
    return f"""\
CREATE TABLE IF NOT EXISTS {table} (
{_hive_columns(_SPARK)},
  `date` date
)
USING json
PARTITIONED BY (`date`)
LOCATION {_quoted(location.replace("s3://", "s3a://", 1))};
MSCK REPAIR TABLE {table};
"""


def _duckdb(location: str, table: str) -> str:
    columns = ",\n".join(f"    {column.name}: '{_duckdb_type(column.kind)}'" for column in COLUMNS)
    # Not an injection: names are validated, texts are quoted, and nothing here runs the statement.
    return f"""\
CREATE OR REPLACE VIEW {table} AS
SELECT * FROM read_json(
  {_quoted(location + "date=*/*.json")},
  format = 'newline_delimited',
  hive_partitioning = true,
  hive_types = {{'date': DATE}},
  columns = {{
{columns}
  }}
);
"""  # noqa: S608


_RENDER = {Dialect.ATHENA: _athena, Dialect.DUCKDB: _duckdb, Dialect.SPARK: _spark}


def _hive_columns(types: Mapping[str, str]) -> str:
    run = ",".join(f"{column.name}:{types[column.kind]}" for column in RUN_COLUMNS)
    return ",\n".join(
        f"  `{column.name}` " + (f"struct<{run}>" if column.kind == "run" else types[column.kind])
        for column in COLUMNS
    )


def _duckdb_type(kind: str) -> str:
    if kind != "run":
        return _DUCKDB[kind]
    fields = ", ".join(f'"{column.name}" {_DUCKDB[column.kind]}' for column in RUN_COLUMNS)
    return f"STRUCT({fields})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
