"""`orchestrator serve`: the HTTP API and the pages for people."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import DURATION, Example, WholeNumber, command, gather_options
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.quantities import rfc3339

if TYPE_CHECKING:
    from orchestrator_cli.api.metrics import ServerMetrics
    from orchestrator_cli.api.services import Services


class ServeOptions(NamedTuple):
    """The options of the command line, by their names."""

    host: str
    port: int
    tokens: Path | None
    new_token: str | None
    scope: str
    bench: str | None
    execution: str | None
    valid_for: timedelta | None
    expires_in: timedelta
    concurrency: int
    deadline: timedelta
    viewers: dict[str, str]

    def check(self) -> None:
        """Raise UsageError for options that do not go together, or a server open to everybody."""
        if self.new_token is not None:
            return
        if self.scope != "read" or self.bench or self.execution or self.valid_for:
            raise click.UsageError(
                "--scope, --bench, --execution and --valid-for go with --new-token."
            )
        if self.tokens is None and not _is_loopback(self.host):
            raise UsageError(
                f"{self.host} is not loopback, and there are no tokens",
                hint="make one with --new-token NAME, and name its file with --tokens",
            )


def _parse_viewers(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Return the address of a viewer by the end of the names that it is for."""
    found = {}
    for value in values:
        end, _, url = value.partition("=")
        if not end or not url.startswith(("https://", "http://")):
            raise click.BadParameter(f"{value!r} is not END=URL, such as trace.zip=https://…")
        found[end] = url
    return found


@command(
    examples=(
        Example("for this machine", "orchestrator serve"),
        Example("a token for a dashboard", "orchestrator serve --new-token grafana >> tokens"),
        Example(
            "a token for a bench to upload with",
            "orchestrator serve --new-token bench-7 --scope upload --bench bench-7 >> tokens",
        ),
        Example("for others", "orchestrator serve --host 0.0.0.0 --tokens tokens"),
        Example(
            "with links from traces to their viewers",
            "orchestrator serve --viewer 'trace.zip=https://trace.playwright.dev/?trace=' "
            "--viewer '.perfetto-trace=https://ui.perfetto.dev/#!/?url='",
        ),
    ),
    exit_codes=(0, 2, 5, 9),
    exit_meanings={
        0: "ended by SIGTERM",
        5: "credentials missing",
    },
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on.",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0 takes any free one.",
)
@click.option(
    "--tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of hashed tokens; every request then needs one. It is read again when it changes.",
)
@click.option(
    "--new-token",
    metavar="NAME",
    help="Make a token: print its line for the file to standard output, itself to standard error.",
)
@click.option(
    "--scope",
    type=click.Choice(["read", "upload"]),
    default="read",
    show_default=True,
    help="What a new token allows: everything that reads, or uploads and nothing else.",
)
@click.option(
    "--bench", metavar="ID", help="Let the new token upload only to executions of this bench."
)
@click.option("--execution", metavar="ID", help="Let the new token upload only to this execution.")
@click.option(
    "--valid-for", type=DURATION, help="How long the new token is valid.  [default: for ever]"
)
@click.option(
    "--expires-in", type=DURATION, default="1h", show_default=True, help="How long URLs work."
)
@click.option(
    "--concurrency",
    type=WholeNumber(1, 256),
    default=16,
    show_default=True,
    help="Requests worked on at once; others wait, and too many are answered 503.",
)
@click.option(
    "--deadline",
    type=DURATION,
    default="30s",
    show_default=True,
    help="The most time for one request.",
)
@click.option(
    "--viewer",
    "viewers",
    metavar="END=URL",
    multiple=True,
    callback=_parse_viewers,
    help="On the pages, link files whose names end with END to the viewer at URL; the file's own "
    "address is added to it, and reads the files of that execution for some hours.",
)
@gather_options(ServeOptions)
@pass_app
def serve(app: App, options: ServeOptions) -> None:
    """Serve executions, files and logs over HTTP, and take uploads.

    Open /ui/ in a browser; programs read /docs or /openapi.json. The server keeps no state: any
    number of them may run behind a load balancer, which has to provide TLS. It listens on addresses
    other than loopback only with --tokens. Each request is logged as a line of JSON on standard
    error, without its query string. On SIGTERM it answers the requests that have begun, and ends.

    A bench with an upload token stores files through it without AWS credentials, as
    `orchestrator upload --via` does. See orchestrator-api(7).
    """
    app.says_waiting = False
    options.check()
    if options.new_token is not None:
        _make_token(app, options.new_token, options)
    else:
        _serve(app, options)


def _make_token(app: App, name: str, options: ServeOptions) -> None:
    from orchestrator_cli.api.guard.auth import TokenScope, new_token
    from orchestrator_cli.core.executions.ids import parse_execution_id

    execution = parse_execution_id(options.execution) if options.execution else None
    try:
        until = app.now() + options.valid_for if options.valid_for else None
    except OverflowError as error:
        raise UsageError("--valid-for is too long") from error
    token, line = new_token(name, TokenScope(options.scope, options.bench, execution, until))
    click.echo(line)
    click.echo(token, err=True)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(app: App, options: ServeOptions) -> None:
    try:
        from orchestrator_cli.api.app import make_app
        from orchestrator_cli.api.guard.anonymous_clients import AnonymousClients
        from orchestrator_cli.api.guard.limits import HEAD_SECONDS
        from orchestrator_cli.api.guard.middleware import RequestGuardMiddleware
        from orchestrator_cli.api.metrics import ServerMetrics
        from orchestrator_cli.api.server import open_socket, serve_app
    except ImportError as error:
        raise UsageError(
            "serve needs FastAPI, hypercorn, Jinja2 and prometheus-client",
            hint="pip install 'orchestrator-cli[api]'",
        ) from error
    from orchestrator_cli.api.guard.token_file import TokenFile

    metrics, anonymous, seconds = (
        ServerMetrics(),
        AnonymousClients(),
        options.deadline.total_seconds(),
    )
    known = TokenFile(options.tokens, app.now, partial(_report_tokens, metrics))
    services = _make_services(app, options, metrics)
    guarded = RequestGuardMiddleware(make_app(services), known, anonymous, _log, seconds, metrics)
    listening = open_socket(options.host, options.port)
    address = f"[{options.host}]" if ":" in options.host else options.host
    port = listening.getsockname()[1]
    app.messages.note(f"serving on http://{address}:{port} (pages at /ui/, API at /docs)")
    try:
        serve_app(guarded, listening, anonymous, min(HEAD_SECONDS, seconds))
    finally:
        services.close()
    if services.busy:
        # The storage hangs. Python would wait for its responses, which nobody needs any more.
        sys.stderr.flush()
        os._exit(0)


def _make_services(app: App, options: ServeOptions, metrics: ServerMetrics) -> Services:
    from orchestrator_cli.api.reads.read_service import ReadService
    from orchestrator_cli.api.services import Services
    from orchestrator_cli.api.upload_service import UploadService
    from orchestrator_cli.api.worker_pool import WAITING_A_THREAD, BoundedWorkerPool
    from orchestrator_cli.core.gateway.server.put_signer import PutSigner

    store = app.store(options.concurrency)
    seconds = int(options.expires_in.total_seconds())
    puts = PutSigner(store, app.now, seconds)
    # Raises where URLs cannot work for so long.
    puts.expiry()
    services = Services(
        ReadService(store, app.now, seconds),
        UploadService(store, puts),
        BoundedWorkerPool(options.concurrency, WAITING_A_THREAD * options.concurrency),
        metrics,
    )
    services.viewers = options.viewers
    deadline = options.deadline.total_seconds()
    services.max_wait_seconds = min(services.max_wait_seconds, deadline / 2)
    return services


def _report_tokens(metrics: ServerMetrics, valid: int, problem: str | None) -> None:
    metrics.set_tokens(valid, problem is not None)
    if problem is not None:
        time = rfc3339(datetime.now(UTC), "seconds")
        _log(json.dumps({"time": time, "event": "tokens", "error": problem, "valid": valid}))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the log of the server
