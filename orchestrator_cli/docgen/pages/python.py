"""orchestrator-python(7): the text of python.md with the public docstrings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

import orchestrator_cli
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.docgen.manpages import PYTHON_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage
from orchestrator_cli.library.bucket import Bucket, open_bucket
from orchestrator_cli.library.execution import Execution


def render_python_page(version: str) -> str:
    """Return the page. Raises ValueError for a public name without a docstring."""
    values = {
        "bucket": _methods(Bucket),
        "errors": _entries((error.__name__, error) for error in _errors()),
        "execution": _methods(Execution),
        "functions": _entries([(_signature(open_bucket), open_bucket)]),
        "values": _entries((_fields(value), value) for value in _values()),
    }
    return render_manpage(PYTHON_PAGE, "python.md", values, version)


def python_example() -> str:
    """Return the examples of the page, which together are one program."""
    text = (
        resources.files("orchestrator_cli.docgen").joinpath("text", "python.md").read_text("utf-8")
    )
    blocks = [block for block in text.split("\n\n") if block.startswith("    ")]
    return "\n\n".join(textwrap.dedent(block) for block in blocks) + "\n"


def _public_classes() -> list[type]:
    named = [getattr(orchestrator_cli, name) for name in orchestrator_cli.__all__]
    return [one for one in named if isinstance(one, type)]


def _errors() -> list[type]:
    return [one for one in _public_classes() if issubclass(one, OrchestratorError)]


def _values() -> list[type]:
    handles = {Bucket, Execution, *_errors()}
    return [one for one in _public_classes() if one not in handles]


def _methods(owner: type) -> str:
    public = [member for name, member in vars(owner).items() if not name.startswith("_")]
    return _entries((_signature(member), member) for member in public)


def _entries(described: Iterable[tuple[str, Any]]) -> str:
    return "\n\n".join(f"`{head}`\n:   {_docstring(one)}" for head, one in described)


def _docstring(one: Any) -> str:
    if not one.__doc__:
        raise ValueError(f"{one.__qualname__} is public and has no docstring")
    return " ".join(one.__doc__.split())


def _signature(function: Callable[..., Any]) -> str:
    # From the source, because a default value may be an object without a readable repr.
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(f"{function!r} is not a function")
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({arguments}){returned}"


def _fields(value: type) -> str:
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        # A pydantic model or a named tuple.
        names = list(getattr(value, "model_fields", getattr(value, "_fields", ())))
    return f"{value.__name__}({', '.join(names)})"
