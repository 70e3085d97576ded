"""The OpenAPI document: the one that FastAPI generates, completed and corrected."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from orchestrator_cli.api.docs.examples import EXECUTION, EXECUTION_PAGE, FILE_PAGE
from orchestrator_cli.api.guard.request_checks import PROBE_PATHS

# Added here, because FastAPI drops fields that are null from examples of a route.
_EXAMPLES = {
    "/executions": EXECUTION_PAGE,
    "/executions/{execution_id}": EXECUTION,
    "/executions/{execution_id}/artifacts": FILE_PAGE,
}

_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed if the server was started with `--tokens`.",
}


def complete_document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application that has all its routes."""
    document = app.openapi()
    document["components"]["securitySchemes"] = {"bearer": _BEARER}
    # FastAPI documents 422 for invalid requests; this server returns 400.
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            if path not in PROBE_PATHS:
                operation["security"] = [{"bearer": []}, {}]
    for path, example in _EXAMPLES.items():
        response = document["paths"][path]["get"]["responses"]["200"]
        response["content"]["application/json"]["example"] = example
    return document
