"""Offer files to a server, one alone, or those of the same moment in one request."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.client.uploads.file_answer import FileAnswer
from orchestrator_cli.core.gateway.messages.uploads import OfferFilesResponse, UploadTerms
from orchestrator_cli.core.http.transport import Sleep
from orchestrator_cli.core.s3.operations.request import Operation

# Each takes along what has come up while the others were under way.
_REQUESTS_AT_ONCE = 2


@dataclass(eq=False, slots=True)
class _Offer:
    """An offer, its answer, and what wakes the task that waits for it."""

    record: dict[str, Any]
    answer: FileAnswer | Exception | None = None
    waking: Future[None] = field(default_factory=Future)


class FileOffers:
    """Offers the files of one execution, and knows its terms for uploads.

    Safe to share between threads, but for `check_batched`: that is for the tasks of one loop. There
    is nobody who sends for all: a task whose offer is not taken along by a request under way sends
    what waits, its own offer among it, and the others sleep until they are answered.
    """

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self.address = f"/executions/{execution_id}/uploads"
        self._connection = connection
        self._execution_id = execution_id
        self._waiting: list[_Offer] = []
        self._under_way = 0

    @cached_property
    def terms(self) -> UploadTerms:
        """The terms for uploads, requested once. Raises NotFoundError for no such execution."""
        request = ServerRequest(self.address, f"look-up of execution {self._execution_id}")
        return self._connection.run(ask(request, UploadTerms.model_validate))

    def check(self, record: dict[str, Any]) -> Operation[FileAnswer]:
        """Offer one file by itself. Raises the error that is its answer."""
        (answer,) = yield from self._send([record], f"offer of {printable(record['path'])}")
        return answer.checked()

    def check_batched(self, record: dict[str, Any]) -> Operation[FileAnswer]:
        """Offer one file along with others. Raises the error that is its answer."""
        offer = _Offer(record)
        self._waiting.append(offer)
        while offer.answer is None:
            if self._under_way < _REQUESTS_AT_ONCE:
                yield from self._send_waiting()
            else:
                yield offer.waking
                offer.waking = Future()
        if isinstance(offer.answer, Exception):
            raise offer.answer
        return offer.answer.checked()

    def _send_waiting(self) -> Operation[None]:
        self._under_way += 1
        try:
            # Tasks that begin at the same moment get into the same request.
            yield Sleep(0)
            most = self.terms.max_files
            batch, self._waiting = self._waiting[:most], self._waiting[most:]
            self._wake_next()
            if batch:
                yield from self._settle(batch)
        finally:
            self._under_way -= 1
            self._wake_next()

    def _wake_next(self) -> None:
        """Let the first that waits send for all that do, where another request may be sent."""
        if self._waiting and self._under_way < _REQUESTS_AT_ONCE:
            _wake(self._waiting[0])

    def _settle(self, batch: list[_Offer]) -> Operation[None]:
        path = printable(batch[0].record["path"])
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        try:
            answers = yield from self._send(
                [offer.record for offer in batch], f"offer of {path}{more}"
            )
        except UsageError as error:
            if len(batch) == 1:
                _answer(batch[0], error)
                return
            # One that the server does not take must not be the end of the others.
            for offer in batch:
                yield from self._settle([offer])
        except Exception as error:  # noqa: BLE001 - raised where the answers are awaited
            for offer in batch:
                _answer(offer, error)
        else:
            for offer, answer in zip(batch, answers, strict=True):
                _answer(offer, answer)

    def _send(self, records: list[dict[str, Any]], what: str) -> Operation[list[FileAnswer]]:
        """Offer files, at most `terms.max_files`; return an answer for each."""

        def parse(body: Any) -> list[FileAnswer]:
            answers = [FileAnswer.of(one) for one in OfferFilesResponse.model_validate(body).files]
            if len(answers) != len(records):
                raise ValueError
            return answers

        return ask(ServerRequest(self.address, what, {"files": records}), parse)


def _answer(offer: _Offer, answer: FileAnswer | Exception) -> None:
    offer.answer = answer
    _wake(offer)


def _wake(offer: _Offer) -> None:
    if not offer.waking.done():
        offer.waking.set_result(None)
