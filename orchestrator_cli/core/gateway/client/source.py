"""Reach executions through a server that has the credentials, and their files by its URLs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError
from orchestrator_cli.core.base.quantities import rfc3339
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.filters import (
    ExecutionFilter,
    ExecutionWindow,
    FoundExecution,
)
from orchestrator_cli.core.executions.ids import (
    CLOCK_SKEW,
    LATEST,
    URL_SCHEME,
    execution_time,
    is_execution_id,
    is_execution_id_prefix,
    parse_execution_id,
)
from orchestrator_cli.core.executions.keys import key_execution_id
from orchestrator_cli.core.executions.listings.executions import (
    LISTS_EXECUTIONS,
    ListedFile,
    list_all_files,
)
from orchestrator_cli.core.executions.selector import (
    FILTER_FIELDS,
    LATEST_WINDOW,
    ambiguous_prefix,
    no_such_prefix,
    not_an_id,
    parse_filter,
)
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.error_kinds import ERRORS_BY_KIND
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectSummary

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.gateway.client.logs.live_logs import ServedLiveLogs
    from orchestrator_cli.core.gateway.client.logs.live_store import GatewayLiveStore
    from orchestrator_cli.core.gateway.client.uploads.session import GatewaySession
    from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, OnNotice

_PAGE = 1000
_ULID_CHARACTERS = 26
# The fields of a filter as the server calls them.
_FIELDS = {name.replace("-", "_"): field for name, field in FILTER_FIELDS.items()}


class GatewaySource:
    """The executions of one server; see `ExecutionSource`."""

    def __init__(self, connection: GatewayConnection) -> None:
        self.objects = ObjectReader(connection, connection.index)
        self.console_bucket: str | None = None
        self._connection = connection

    # --- executions ----------------------------------------------------------------------

    def resolve(self, text: str, now: datetime) -> str:
        """Return the execution id that a selector stands for."""
        if text.startswith(URL_SCHEME):
            _, _, key = text.removeprefix(URL_SCHEME).partition("/")
            return parse_execution_id(key_execution_id(f"{key}/") or text)
        if text == LATEST or text.startswith(f"{LATEST}:"):
            return self._latest(text, now)
        folded = text.removesuffix("/").upper()
        return folded if is_execution_id(folded) else self._with_prefix(folded, now)

    def _latest(self, text: str, now: datetime) -> str:
        wanted = ExecutionFilter() if text == LATEST else parse_filter(text.partition(":")[2])
        # As without a server, one whose metadata cannot be read may be the latest.
        window = ExecutionWindow(now - LATEST_WINDOW, None, 1, wanted, now)
        for execution_id, item, _ in self.select(window, looks_up_liveness=False):
            if wanted.takes_everything or not isinstance(item, OrchestratorError):
                return execution_id
            if item.is_inconclusive:
                raise item
        raise NotFoundError(
            f"no execution of the last year is {printable(text)} in {self.objects.location}",
            hint=LISTS_EXECUTIONS,
        )

    def _with_prefix(self, prefix: str, now: datetime) -> str:
        if not is_execution_id_prefix(prefix):
            raise not_an_id(prefix)
        first = execution_time(prefix.ljust(_ULID_CHARACTERS, "0"))
        last = min(execution_time(prefix.ljust(_ULID_CHARACTERS, "Z")), now + CLOCK_SKEW)
        found: list[str] = []
        window = ExecutionWindow(min(first, last), last, None, ExecutionFilter(), now)
        for execution_id, _, _ in self.select(window, looks_up_liveness=False):
            found += [execution_id] if execution_id.startswith(prefix) else []
            if len(found) > 1:
                raise ambiguous_prefix(prefix, found)
        if not found:
            raise no_such_prefix(self.objects, prefix)
        return found[0]

    def read_record(self, execution_id: str) -> dict[str, Any]:
        """Return the metadata as it is. Raises NotFoundError."""
        return self._connection.run(ask(_record_request(execution_id), dict))

    def read(self, execution_id: str) -> tuple[ExecutionMetadata, str | None]:
        """Return the validated metadata and the liveness. Raises NotFoundError."""
        return self._connection.run(ask(_record_request(execution_id), _parse_with_liveness))

    def select(
        self, window: ExecutionWindow, *, looks_up_liveness: bool
    ) -> Iterator[FoundExecution]:
        """Yield the executions that are wanted, the newest first."""
        fields = _fields(window)
        while True:
            request = ServerRequest(
                f"/executions?{urlencode(fields, doseq=True)}", "listing of executions"
            )
            found, cursor = self._connection.run(ask(request, _parse_page))
            yield from found
            if cursor is None:
                return
            fields["cursor"] = cursor

    # --- logs and uploads ------------------------------------------------------------------

    def live_logs(
        self, execution_id: str, give_up: GiveUpPolicy, on_notice: OnNotice
    ) -> ServedLiveLogs:
        """Return the logs that are still being written, as the server reads them."""
        from orchestrator_cli.core.gateway.client.logs.live_logs import ServedLiveLogs

        read_record = partial(self.read_record, execution_id)
        return ServedLiveLogs(self.objects, execution_id, read_record, give_up, on_notice)

    def live_store(self, execution_id: str) -> GatewayLiveStore:
        """Return where a log is stored while it is written."""
        from orchestrator_cli.core.gateway.client.logs.live_store import GatewayLiveStore

        return GatewayLiveStore(self._connection, execution_id)

    def open_upload(self, execution_id: str) -> GatewaySession:
        """Return an upload to an execution."""
        from orchestrator_cli.core.gateway.client.uploads.session import GatewaySession

        return GatewaySession(self._connection, execution_id)

    # --- files ---------------------------------------------------------------------------

    def list_files(self, execution_id: str) -> Iterator[ListedFile]:
        """Yield (path, object) with the state of restores, which the server tells."""
        return list_all_files(self.objects, execution_id)

    def check_readable(self, listed: ObjectSummary, path: str) -> None:
        """Do nothing: the server signs no URL of what has to be restored first."""

    def explain_archived(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Do nothing: the errors of the server say it all."""
        return contextlib.nullcontext()

    def links(self, expires_in_seconds: int, *, inline: bool) -> ServerLinks:
        """Return the URLs that the server signs."""
        return ServerLinks(self._connection)


class ServerLinks:
    """The URLs that a server has signed."""

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection

    def expiry(self, keys: Iterable[str]) -> UrlExpiry:
        """Return when the first of the URLs of these objects ends."""
        expiries = [self._connection.signed_url(key).expiry for key in keys]
        return min(expiries, key=lambda expiry: expiry.expires_at)

    def url(self, key: str) -> str:
        """Return the URL of one of these objects. Raises ArchivedError."""
        return self._connection.signed_url(key).url


def _record_request(execution_id: str) -> ServerRequest:
    return ServerRequest(f"/executions/{execution_id}", f"look-up of execution {execution_id}")


def _fields(window: ExecutionWindow) -> dict[str, Any]:
    """Return the query of a window, by field; a field with several values has a list."""
    wanted = window.wanted
    limit = min(window.limit or _PAGE, _PAGE)
    fields: dict[str, Any] = {
        "since": rfc3339(window.since),
        "order": "newest",
        "limit": str(limit),
        "label": [f"{name}={value}" for name, value in wanted.labels.items()],
    }
    if window.until is not None:
        fields["until"] = rfc3339(window.until)
    return fields | {name: sorted(getattr(wanted, of)) for name, of in _FIELDS.items()}


def _parse_with_liveness(body: Mapping[str, Any]) -> tuple[ExecutionMetadata, str | None]:
    """Return a record and the liveness that the server has put beside it."""
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

    record = dict(body)
    liveness = record.pop("liveness", None)
    return ExecutionMetadata.model_validate(record), None if liveness is None else str(liveness)


def _parse_page(body: Mapping[str, Any]) -> tuple[list[FoundExecution], str | None]:
    found: list[FoundExecution] = []
    for record in body["executions"]:
        metadata, liveness = _parse_with_liveness(record)
        found.append((metadata.execution_id, metadata, liveness))
    for one in body["unreadable"]:
        kind = ERRORS_BY_KIND.get(str(one.get("kind")), OrchestratorError)
        found.append((str(one["execution_id"]), kind(printable(one["error"])), None))
    found.sort(key=lambda item: item[0], reverse=True)
    return found, body["next_cursor"]
