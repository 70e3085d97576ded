"""Which records each command prints with --json, and the JSON Schema of its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from orchestrator_cli.cli.schemas import bucket_records, records
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Of a listing, each line would be up to 100 KiB otherwise.
ListedExecution = create_model(
    "ListedExecution",
    __config__=ConfigDict(extra="allow"),
    __doc__="The content of metadata.json without the manifest.",
    **{
        name: (field.annotation, field)
        for name, field in ExecutionMetadata.model_fields.items()
        if name != "artifacts"
    },  # type: ignore[call-overload]
)


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command prints: one object, or one a line, each of any of these kinds."""

    kinds: tuple[type[BaseModel], ...]
    is_stream: bool = False


OUTPUTS: Mapping[str, CommandOutput] = {
    "new": CommandOutput((ExecutionMetadata, bucket_records.BenchRecord)),
    "upload": CommandOutput((records.UploadedFile,), is_stream=True),
    "finish": CommandOutput((ExecutionMetadata, bucket_records.BenchRecord)),
    "ls": CommandOutput((ListedExecution, records.ListedFile), is_stream=True),
    "grep": CommandOutput(
        (records.MatchedLine, records.MatchCount, records.MatchedLog), is_stream=True
    ),
    "show": CommandOutput((ExecutionMetadata,)),
    "url": CommandOutput((records.FileLink, records.PageLink), is_stream=True),
    "download": CommandOutput((records.DownloadedFile,), is_stream=True),
    "verify": CommandOutput((records.VerifiedFile,), is_stream=True),
    "index": CommandOutput((records.IndexedLog,), is_stream=True),
    "sync-efs": CommandOutput(
        (records.SyncedFile, records.PlannedSync, records.SyncTotals), is_stream=True
    ),
    "salvage": CommandOutput((records.SalvagedExecution,)),
    "adapter check": CommandOutput((records.AdapterFinding,), is_stream=True),
    "lifecycle apply": CommandOutput((bucket_records.LifecyclePlan,)),
    "lifecycle plan": CommandOutput((bucket_records.LifecyclePlan,)),
    "lifecycle show": CommandOutput((bucket_records.LifecycleRules,)),
    "restore": CommandOutput((records.RestoredFile,), is_stream=True),
    "cost": CommandOutput((bucket_records.CostGroup, bucket_records.CostTotal), is_stream=True),
    "config show": CommandOutput((bucket_records.ResolvedSettings,)),
    "doctor": CommandOutput((bucket_records.Diagnosis,)),
}


def render_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of each object that a command prints. Raises KeyError."""
    output = OUTPUTS[command]
    names, definitions = models_json_schema(
        [(kind, "serialization") for kind in output.kinds], by_alias=True
    )
    kinds = [names[kind, "serialization"] for kind in output.kinds]
    each = "each line of" if output.is_stream else "the output of"
    return {
        "$schema": _DIALECT,
        "title": f"orchestrator {command} --json",
        "description": f"It describes {each} `orchestrator {command} --json`.",
        **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}),
        **definitions,
    }
