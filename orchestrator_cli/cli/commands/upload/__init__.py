"""`orchestrator upload`: store files, directories or standard input.

It must not know how files are sent.
"""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.upload.files import store_paths
from orchestrator_cli.cli.commands.upload.options import UploadOptions
from orchestrator_cli.cli.commands.upload.stdin import store_stdin
from orchestrator_cli.cli.options import (
    RESUMES,
    Example,
    check_may_write,
    command,
    complete_id_or_path,
    concurrency_option,
    gather_options,
    json_option,
    limit_rate_option,
    no_op_options,
    split_id,
    write_to_latest_option,
)
from orchestrator_cli.cli.options.metrics_options import metrics_options
from orchestrator_cli.cli.options.via_options import via_options


@command(
    examples=(
        Example("everything below a directory", "orchestrator upload $ID results/"),
        Example(
            "a pipe of any length", "make test 2>&1 | orchestrator upload $ID - --name stdout.log"
        ),
        Example(
            "a serial console that `orchestrator logs -f` can follow meanwhile",
            "picocom -q /dev/ttyUSB0 | orchestrator upload $ID - --name bench.log --live",
        ),
        Example(
            "leave some files out, and spare a slow link",
            "orchestrator upload $ID out/ --exclude '*.tmp' --limit-rate 5M",
        ),
        Example(
            "without AWS credentials, through a server",
            "orchestrator upload $ID out/ --via https://orchestrator.example.com "
            "--via-token-file token",
        ),
        Example(
            "push metrics to a Prometheus Pushgateway",
            "orchestrator upload $ID results/ --metrics-push http://pushgateway.example.com:9091",
        ),
        Example("show where each file would go", "orchestrator upload $ID results/ --dry-run"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 7, 9, 130),
    exit_meanings={
        **RESUMES,
        0: "done, including “identical, already stored”",
        4: "no such file, execution or bucket",
    },
)
@click.argument(
    "arguments",
    metavar="ID PATH…",
    nargs=-1,
    required=True,
    shell_complete=complete_id_or_path,
)
@click.option(
    "--name", metavar="PATH", help="The name to store standard input or a single file under."
)
@click.option(
    "--include",
    metavar="GLOB",
    multiple=True,
    help="Upload only files that match, or whose directory does.",
)
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave out files and directories that match."
)
@click.option("--include-hidden", is_flag=True, help="Upload hidden files as well.")
@no_op_options("-r", "-R", "-P", "--recursive", "--progress")
@concurrency_option
@limit_rate_option
@via_options("Upload through this `orchestrator serve`; no credentials are needed here.")
@click.option("--live", is_flag=True, help="Let `logs -f` follow standard input while it is read.")
@click.option("--dry-run", is_flag=True, help="Print where each file would go; send nothing.")
@click.option(
    "--if-no-files-found",
    type=click.Choice(["error", "warn", "ignore"]),
    default="error",
    show_default=True,
    help="What to do where nothing matches.",
)
@write_to_latest_option
@json_option
@metrics_options
@gather_options(UploadOptions)
@pass_app
def upload(app: App, options: UploadOptions) -> None:
    """Store files, directories or standard input.

    Where a file is stored depends on its path below the directory that you give. The four logs,
    results.json, coverage.xml, screenshots/, traces/ and custom/ have their own places, other
    images and traces are sorted by type, and everything else goes under artifacts/custom/. See
    orchestrator-layout(7).

    Stored files are immutable. The same content again is "identical" and a success; other content
    under the same name is a conflict: nothing is changed, and the execution's record names the file
    as not stored, until what is stored there is uploaded once more. Repeating an interrupted
    command sends only what S3 does not have; until then the execution is not complete, also where
    the command was killed. A PATH of - reads standard input, in bounded memory whatever its length.

    --dry-run reads and compares every file, and ends with the exit code that the upload would have,
    as far as that can be told without storing: permissions are not tried, and standard input is
    not read.

    A GLOB is written as in a .gitignore, but * also matches /: node_modules and node_modules/ match
    at any depth, /build or ./build only directly below the directory that you give.

    Below a directory, files and directories whose names begin with a dot, such as .env, .git/ and
    .ssh/, and links to them are left out unless --include-hidden is given. Links are followed only
    to files inside the directory.

    With --live, what is read from standard input reaches live/ in the bucket within seconds, where
    `orchestrator logs -f` follows it. orchestrator-run(1) says what that costs.

    With --via, an `orchestrator serve` checks each file and signs the requests that store it; the
    content goes straight to S3. See orchestrator-api(7).
    """
    app.resumes = not options.dry_run
    text, paths = split_id(options.arguments)
    options.check(paths)
    check_may_write(text, options.yes)
    source = app.source(options.via, options.concurrency, options.limit_rate)
    session = source.open_upload(app.resolve(text, source))
    if paths == ("-",):
        live_store = source.live_store(session.execution_id) if options.live else None
        store_stdin(app, options, session, live_store)
    else:
        store_paths(app, options, session, paths)
