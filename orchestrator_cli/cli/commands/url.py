"""`orchestrator url`: presigned URLs, with their real expiry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import click
from click.core import ParameterSource

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    DURATION,
    Example,
    WholeNumber,
    command,
    complete_id_or_file,
    gather_options,
    json_option,
    split_id,
)
from orchestrator_cli.cli.options.via_options import Via, read_via_option
from orchestrator_cli.cli.output.comment_markup import MARKUPS

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.listings.executions import ListedFile
    from orchestrator_cli.core.s3.bucket.presign import UrlExpiry
    from orchestrator_cli.core.s3.types import ObjectSummary
    from orchestrator_cli.library.source import Links


class UrlOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    expires_in: timedelta
    require_ttl: bool
    given_style: str
    ui: bool
    inline: bool
    limit: int
    via: Via | None
    as_json: bool

    @property
    def style(self) -> str:
        """How URLs are printed: --json is --format json."""
        return "json" if self.as_json else self.given_style

    def check(self) -> None:
        """Raise UsageError for options that a server decides, if the URLs come from one."""
        typed = click.get_current_context().get_parameter_source("expires_in")
        if self.via is not None and (self.inline or typed is ParameterSource.COMMANDLINE):
            raise click.UsageError(
                "--expires-in and --inline go without --via: the server decides."
            )


@command(
    examples=(
        Example("a link to a log", "orchestrator url $ID stdout"),
        Example("for a PR comment", "orchestrator url $ID --format markdown >> comment.md"),
        Example("the page of an execution, which lasts", "orchestrator url $ID --ui"),
        Example(
            "fail where the link would not live long enough",
            "orchestrator url $ID --expires-in 12h --require-ttl",
        ),
    ),
    exit_codes=(0, 2, 4, 5, 8, 9, 130),
    exit_meanings={
        5: "credentials missing, denied, or with --require-ttl too short-lived",
    },
)
@click.argument("arguments", metavar="ID [PATH…]", nargs=-1, shell_complete=complete_id_or_file)
@click.option(
    "--expires-in",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long the URLs work; $longest_expiry at most.",
)
@click.option(
    "--require-ttl", is_flag=True, help="Fail where the credentials expire before --expires-in."
)
@click.option(
    "--format",
    "given_style",
    type=click.Choice(["text", "json", *MARKUPS]),
    default="text",
    show_default=True,
    help="text: a URL on each line. json: an object on each line. "
    f"{', '.join(MARKUPS)}: a list of links.",
)
@click.option(
    "--ui", is_flag=True, help="Print the page of the execution, or of its logs, instead."
)
@click.option("--inline", is_flag=True, help="Let HTML, SVG, XML and scripts run in the browser.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=25,
    metavar="N",
    show_default=True,
    help="The most links in markdown and jira; 0 for all.",
)
@read_via_option
@json_option
@gather_options(UrlOptions)
@pass_app
def url(app: App, options: UrlOptions) -> None:
    """Print presigned URLs.

    Anybody who has a URL can read its file until it expires, so treat it as a secret. It expires
    after --expires-in or with the credentials that signed it, whichever is earlier; the actual time
    is printed. PATH is a path, the name of a log, a directory or a glob; where a file has exactly
    that name, it is taken, and not what a glob would match. Without PATH, every file.

    The type of a file follows from its name. A browser shows text, JSON, images, sound and video;
    what could run there, such as HTML, SVG, XML and scripts, is downloaded instead, unless --inline
    is given. In markdown and jira, logs and results come first.

    With --ui, the links of the pages that `serve` has at --ui-url are printed: they ask for a
    login, and do not expire. Where --ui-url is configured, the lists in markdown and jira begin
    with the page.
    """
    from orchestrator_cli.core.executions.listings.executions import check_exists
    from orchestrator_cli.core.executions.listings.selection import select_files

    text, patterns = split_id(options.arguments)
    source = app.source(options.via)
    if options.ui:
        execution_id = app.resolve(text, source)
        check_exists(source.objects, execution_id)
        _print_pages(app, execution_id, patterns, options.style)
        return
    options.check()
    # Before any request: it raises where no URL can be signed for so long.
    links = source.links(int(options.expires_in.total_seconds()), inline=options.inline)
    execution_id = app.resolve(text, source)
    chosen = list(select_files(source.objects, execution_id, patterns))
    for path, listed in chosen:
        source.check_readable(listed, path)
    if chosen:
        expiry = links.expiry(listed.key for _, listed in chosen)
        _check_expiry(app, expiry, options.require_ttl)
        _print_urls(app, options, execution_id, chosen, links, expiry)


def _print_urls(
    app: App,
    options: UrlOptions,
    execution_id: str,
    files: list[ListedFile],
    links: Links,
    expiry: UrlExpiry,
) -> None:
    """Print the URL of each file; in a comment, after the page and up to --limit."""
    style, shown = options.style, files
    if style in MARKUPS:
        shown = sorted(files, key=_reading_order)[: options.limit or None]
        if app.settings.ui_url:
            _print_pages(app, execution_id, (), style)
    for path, listed in shown:
        _print_url(app, path, listed, links.url(listed.key), expiry, style)
    if len(shown) < len(files):
        markup = MARKUPS[style]
        command_line = markup.code(f"orchestrator url {execution_id}")
        rest = f"and {len(files) - len(shown):,} more, see {command_line}"
        app.output.line(markup.item(rest))


def _print_pages(app: App, execution_id: str, names: Sequence[str], style: str) -> None:
    """Print the execution's page, or those of the logs that are named. Raises UsageError."""
    from orchestrator_cli.core.base.errors import UsageError
    from orchestrator_cli.core.executions.logs.finding import log_name
    from orchestrator_cli.core.executions.placement import log_storage_path

    logs = [log_name(log_storage_path(name) or "") for name in names]
    if not all(logs):
        raise click.UsageError("--ui: a page is an execution's or a log's.")
    for log in logs or [""]:
        page = app.pages.url(execution_id, log)
        if page is None:
            raise UsageError("--ui-url is not set", hint="it is where `serve` has its pages")
        title = f"{log} of {execution_id}" if log else f"execution {execution_id}"
        if style == "json":
            app.output.json({"execution_id": execution_id, "log": log or None, "url": page})
        else:
            markup = MARKUPS.get(style)
            app.output.line(markup.item(markup.link(title, page)) if markup else page)


def _reading_order(item: ListedFile) -> int:
    """Sort the files that a reader opens first to the front."""
    firsts = ("logs/", "artifacts/results.json", "artifacts/coverage.xml", "artifacts/screenshots/")
    return next((at for at, first in enumerate(firsts) if item[0].startswith(first)), len(firsts))


def _check_expiry(app: App, expiry: UrlExpiry, require_ttl: bool) -> None:
    from orchestrator_cli.cli.output import json_time
    from orchestrator_cli.core.base.errors import AccessError

    when = json_time(expiry.expires_at)
    if expiry.limited_by_credentials:
        if require_ttl:
            raise AccessError(
                f"the credentials end before the URL should, at {when}",
                hint="use credentials that live longer, or a shorter --expires-in",
            )
        app.messages.warn(f"the credentials end early: expires {when}")
    elif not expiry.certain:
        if require_ttl:
            raise AccessError(
                "the credentials are temporary and do not say when they end",
                hint="set AWS_CREDENTIAL_EXPIRATION, or use a profile or role that says it",
            )
        app.messages.warn(f"the credentials are temporary; expires {when} or when they end")
    else:
        app.messages.note(f"expires {when}")


def _print_url(
    app: App, path: str, listed: ObjectSummary, signed: str, expiry: UrlExpiry, style: str
) -> None:
    from orchestrator_cli.cli.output import human_size, json_time
    from orchestrator_cli.core.base.text import printable

    expires = json_time(expiry.expires_at)
    # Whoever reads the comment with the link does not see what standard error said.
    doubt = "" if expiry.certain else " or earlier, when its credentials end"
    label = f"{human_size(listed.size_bytes)}, expires {expires}{doubt}"
    if style == "json":
        app.output.json(
            {
                "path": path,
                "url": signed,
                "expires_at": expires,
                "expiry_certain": expiry.certain,
                "expires_in_seconds": expiry.expires_in_seconds,
                "size_bytes": listed.size_bytes,
            }
        )
    elif style in MARKUPS:
        markup = MARKUPS[style]
        app.output.line(markup.item(f"{markup.link(printable(path), signed)} ({label})"))
    else:
        app.output.line(signed)
