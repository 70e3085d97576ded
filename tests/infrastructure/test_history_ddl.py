"""The history as a table: DuckDB queries it; for the others the statements are checked."""

from __future__ import annotations

import json
import sys

import duckdb
import pytest

from orchestrator_cli.core.executions.record.history import history_line
from orchestrator_cli.core.executions.record.metadata import RunDetails, build_metadata
from orchestrator_cli.infrastructure.history_ddl import COLUMNS, RUN_COLUMNS, Dialect, render_table
from tests.support.commands.running import Processes, RunCommand
from tests.support.scene import Scene


def test_the_columns_match_a_history_line() -> None:
    run = RunDetails(
        command=["true"],
        host="h",
        pid=1,
        tool_version="1",
        started_at="2026-01-01T00:00:00Z",  # type: ignore[arg-type]
    )
    line = json.loads(
        history_line(build_metadata(execution_id="01H00000000000000000000000", run=run))
    )
    assert {column.name for column in COLUMNS} == line.keys()
    assert {column.name for column in RUN_COLUMNS} == line["run"].keys()


def test_duckdb_reads_what_finish_and_run_write(scene: Scene, cli_process: Processes) -> None:
    passed = scene.cli("new", "--suite", "smoke", "--label", "branch=main").ok().out.strip()
    (scene.directory / "results.json").write_text("{}")
    scene.cli("upload", passed, scene.directory / "results.json").ok()
    scene.cli("finish", passed, "--result", "pass").ok()
    cli_process.run(
        "run", "--suite", "it's", "--", sys.executable, "-c", "raise SystemExit(3)"
    ).expect(3)
    for key, content in scene.contents("history/").items():
        file = scene.directory / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    location = str(scene.directory / "history")
    statement = scene.cli("history", "ddl", "--format", "duckdb", "--location", location).ok().out
    with duckdb.connect() as database:
        database.execute(statement)
        rows = database.execute(
            "SELECT execution_id, result, test_suite, artifact_count, labels['branch'],"
            " run.exit_code, run.command[1], ended_at >= started_at, date = started_at::DATE"
            " FROM history ORDER BY result DESC"
        ).fetchall()
        days = database.execute("SELECT DISTINCT date FROM history").fetchall()
    assert rows[0] == (passed, "pass", "smoke", 1, "main", None, None, True, True)
    assert rows[1][1:] == ("fail", "it's", 4, None, 3, sys.executable, True, True)
    assert len(rows) == 2
    assert 1 <= len(days) <= 2


def test_athena_uses_partition_projection(scene: Scene) -> None:
    out = scene.cli("history", "ddl", "--table", "ci.executions").ok().out
    assert out.startswith("CREATE EXTERNAL TABLE IF NOT EXISTS ci.executions (\n")
    assert "PARTITIONED BY (`date` string)" in out
    assert f"LOCATION 's3://{scene.bucket}/history/'" in out
    assert f"'storage.location.template' = 's3://{scene.bucket}/history/date=${{date}}/'" in out
    for column in COLUMNS:
        assert out.count(f"\n  `{column.name}` ") == 1
    assert out.count("(") == out.count(")")
    assert out.count("<") == out.count(">")


def test_spark_finds_its_partitions(scene: Scene) -> None:
    out = scene.cli("history", "ddl", "--format", "spark").ok().out
    assert "USING json\nPARTITIONED BY (`date`)" in out
    assert f"LOCATION 's3a://{scene.bucket}/history/'" in out
    assert out.endswith("MSCK REPAIR TABLE history;\n")


@pytest.mark.parametrize("table", ["", "a.b.c", "a b", "x;DROP", "1a", "a.", "ü"])
def test_an_invalid_table_name_is_refused(scene: Scene, table: str) -> None:
    result = scene.cli("history", "ddl", "--table", table).expect(2)
    assert "not a table name" in result.err
    assert result.out == ""


def test_a_name_that_is_no_bucket_is_exit_2(cli: RunCommand) -> None:
    result = cli("--bucket", "it's", "history", "ddl").expect(2)
    assert "not a bucket name" in result.err


def test_a_quote_in_the_location_is_escaped() -> None:
    assert "'it''s/date=*/*.json'" in render_table(Dialect.DUCKDB, "it's/", "t")
