"""One execution's files: as a table, as a tree, for scripts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.types import ObjectSummary
    from orchestrator_cli.library.source import ExecutionSource

    Files = Iterable[tuple[str, ObjectSummary]]


def list_execution_files(
    app: App, source: ExecutionSource, text: str, patterns: tuple[str, ...], style: str
) -> None:
    """Print the files of an execution that match a pattern, or all of them."""
    files = _find(source, app.resolve(text, source), patterns)
    first = next(files, None)
    if first is None:
        app.messages.note("the execution has no files yet")
        return
    found = itertools.chain([first], files)
    if style == "null":
        _print_names(found)
    elif style == "json":
        for path, listed in found:
            app.output.json(_record(path, listed))
    elif style == "tree":
        _print_tree(app, found)
    else:
        _print_table(app, found, source.console_bucket)


def _find(
    source: ExecutionSource, execution_id: str, patterns: tuple[str, ...]
) -> Iterator[tuple[str, ObjectSummary]]:
    from orchestrator_cli.core.executions.listings.selection import filter_files

    files = source.list_files(execution_id)
    return filter_files(list(files), execution_id, patterns) if patterns else files


def _print_names(files: Files) -> None:
    # Bytes, because a script wants the name and nothing else.
    sys.stdout.flush()
    for path, _ in files:
        sys.stdout.buffer.write(path.encode() + b"\0")


def _print_table(app: App, files: Files, console_bucket: str | None) -> None:
    from orchestrator_cli.cli.output import human_size
    from orchestrator_cli.cli.output.colors_and_links import console_url
    from orchestrator_cli.cli.output.table import Column, table
    from orchestrator_cli.core.base.text import printable

    columns = (
        Column("SIZE", right=True, least=9, width=9),
        Column("CHANGED", rank=1),
        # Most paths have room in 60 columns without CHANGED.
        Column("PATH", wrap=True, least=40, links=True),
    )
    with table(app.output, *columns) as shown:
        for path, listed in files:
            shown.row(
                human_size(listed.size_bytes),
                app.output.time(listed.last_modified),
                printable(path) + _class_note(app, listed),
                link=console_url(console_bucket, listed.key) if console_bucket else None,
            )


def _print_tree(app: App, files: Files) -> None:
    from orchestrator_cli.cli.output import human_size
    from orchestrator_cli.cli.output.tree import print_tree

    print_tree(
        app.output,
        ((path, human_size(one.size_bytes) + _class_note(app, one)) for path, one in files),
    )


def _record(path: str, listed: ObjectSummary) -> dict[str, object]:
    return {
        "path": path,
        "key": listed.key,
        "size_bytes": listed.size_bytes,
        "last_modified": listed.last_modified,
        "storage_class": listed.storage_class,
        "restore": _restore_record(listed),
        "etag": listed.etag,
    }


def _class_note(app: App, listed: ObjectSummary) -> str:
    from orchestrator_cli.core.base.text import printable

    if listed.storage_class == "STANDARD":
        return ""
    return f"  [{printable(listed.storage_class)}{_restore_note(app, listed)}]"


def _restore_note(app: App, listed: ObjectSummary) -> str:
    if listed.restore is None:
        return ""
    if listed.restore.ongoing:
        return ", being restored"
    return f", readable until {app.output.time(listed.restore.expires_at)}"


def _restore_record(listed: ObjectSummary) -> dict[str, object] | None:
    restore = listed.restore
    if restore is None:
        return None
    return {"ongoing": restore.ongoing, "expires_at": restore.expires_at}
