"""`orchestrator verify`: stored checksums against the manifest, and against local files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, json_option, split_id

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
    from orchestrator_cli.core.transfer.download.verify import Finding, VerifyResult


@command(
    examples=(
        Example("is everything in the manifest stored, and as it was", "orchestrator verify $ID"),
        Example("may the local files be deleted", "orchestrator verify $ID results/"),
        Example("fetch and hash every byte", "orchestrator verify $ID --read"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 7, 8, 9),
    exit_meanings={3: "some files are missing, unlisted or could not be checked; each is listed"},
)
@click.argument("arguments", metavar="ID [DIR]", nargs=-1)
@click.option("--read", "read_back", is_flag=True, help="Fetch and hash every stored byte.")
@click.option("--include-hidden", is_flag=True, help="With DIR: check hidden files as well.")
@json_option
@pass_app
def verify(
    app: App,
    arguments: tuple[str, ...],
    read_back: bool,
    include_hidden: bool,
    as_json: bool,
) -> None:
    """Check stored checksums, and local files against them.

    Without DIR, the checksums that S3 holds are compared with the manifest. With DIR, every local
    file is hashed and compared with the object that `upload ID DIR` would have made of it; what it
    would have skipped is named. Exit 7 where bytes differ, 3 where files are missing.
    """
    from orchestrator_cli.core.transfer.download.verify import Finding

    text, rest = split_id(arguments)
    if len(rest) > 1:
        raise click.UsageError("One DIR at a time.")
    store = app.store()
    metadata = app.execution(text, store).metadata()
    if not rest and metadata.manifest_sha256 is None:
        app.messages.warn("the execution is not finished: there is no manifest to compare with")
    directory = Path(rest[0]) if rest else None
    findings = _findings(store, metadata, directory, read_back, include_hidden)
    counts: Counter[Finding] = Counter()
    errors: list[OrchestratorError] = []
    with app.messages.failures_at_the_end(), app.messages.progress("verifying") as progress:
        if directory is None and metadata.manifest_sha256 is not None:
            size_bytes = metadata.artifact_bytes if read_back else None
            progress.expect(metadata.artifact_count, size_bytes)
        for verified in findings:
            counts[verified.finding] += 1
            errors.extend([verified.error] if verified.error else [])
            progress.add_bytes(verified.size_bytes if read_back or directory else 0)
            progress.add_file()
            _report(app, verified, as_json)
    error = _verdict(counts, errors)
    if error is not None:
        raise error
    skipped = f", {counts[Finding.SKIPPED]:,} skipped" if counts[Finding.SKIPPED] else ""
    app.messages.note(f"verified {metadata.execution_id}: {counts[Finding.OK]:,} ok{skipped}")


def _findings(
    store: ArtifactStore,
    metadata: ExecutionMetadata,
    directory: Path | None,
    read_back: bool,
    include_hidden: bool,
) -> Iterator[VerifyResult]:
    """Yield the result for each file of a directory, or of the manifest."""
    from orchestrator_cli.core.files.path_filter import PathFilter
    from orchestrator_cli.core.transfer.download.verify import verify_local, verify_stored
    from orchestrator_cli.core.transfer.upload.plan import plan_upload

    if directory is None:
        return verify_stored(store, metadata, read_back)
    selection = PathFilter(hidden=include_hidden)
    return verify_local(store, plan_upload(metadata.execution_id, [directory], selection))


def _report(app: App, verified: VerifyResult, as_json: bool) -> None:
    from orchestrator_cli.cli.output import json_name
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.transfer.download.verify import Finding

    if as_json:
        app.output.record(
            {
                "path": json_name(verified.path),
                "finding": str(verified.finding),
                "detail": verified.detail,
                "size_bytes": verified.size_bytes,
            }
        )
    elif verified.finding is Finding.OK:
        app.messages.detail(f"ok: {printable(verified.path)}: {verified.detail}")
    elif verified.finding is Finding.SKIPPED:
        app.messages.warn(f"skipped {printable(verified.path)}: {verified.detail}")
    else:
        app.messages.failure(f"{verified.finding}: {printable(verified.path)}: {verified.detail}")


def _verdict(counts: Counter[Finding], errors: list[OrchestratorError]) -> OrchestratorError | None:
    from orchestrator_cli.core.base.errors import IntegrityError, PartialFailureError
    from orchestrator_cli.core.transfer.download.verify import Finding

    good = (Finding.OK, Finding.SKIPPED)
    bad = Counter({finding: one for finding, one in counts.items() if finding not in good})
    line = ", ".join(f"{count:,} {finding}" for finding, count in sorted(bad.items()))
    if counts[Finding.DIFFERS]:
        return IntegrityError(line)
    if not bad:
        return None
    hint = "the same upload again stores what is missing" if counts[Finding.MISSING] else None
    if len(errors) == bad.total() and _is_telling(errors, counts[Finding.OK]):
        return type(errors[0])(line, hint=errors[0].hint, retryable=errors[0].retryable)
    return PartialFailureError(line, hint=hint, retryable=any(one.retryable for one in errors))


def _is_telling(errors: list[OrchestratorError], ok: int) -> bool:
    """Return True where the exit code of the errors says more than that some files failed."""
    from orchestrator_cli.core.base.errors import ArchivedError, IntegrityError

    kinds = {type(error) for error in errors}
    return len(kinds) == 1 and (not ok or not kinds.isdisjoint({ArchivedError, IntegrityError}))
