"""Metrics at a Prometheus Pushgateway, which keeps one set of values for each group of labels.

It adds nothing up: what is pushed takes the place of what was there. So the totals of all commands
are kept here, in a file, and pushed whole: a push that fails is made up for by the next one, one
that comes twice changes nothing, and counters only grow, as rate() needs them.
https://github.com/prometheus/pushgateway
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.directory import private_directory
from orchestrator_cli.core.http.transport import Request, TransportError, TransportErrorKind
from orchestrator_cli.core.http.url import ServiceUrl
from orchestrator_cli.core.metrics.delivery import SEND_SECONDS, DeliveryQueue, raise_for_rejection
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.text_file import add_to_file, locked, read_totals
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.errors import map_exception

JOB = "orchestrator"
_BASE64 = "@base64"
_GROUP_PATH = re.compile(r"/metrics/(job(?:@base64)?/.*)")


@dataclass(frozen=True, slots=True)
class Group:
    """A group of labels at a Pushgateway, whose URL is `gateway`."""

    gateway: ServiceUrl
    job: str
    labels: dict[str, str]

    @classmethod
    def of(cls, url: ServiceUrl, host: str, user_id: int) -> Group:
        """Return the group that the URL's path names, or else that of this machine and user.

        Whoever else pushed to the same group would replace these totals with others. Raises
        UsageError for a path that names no group.
        """
        named = _GROUP_PATH.search(url.url)
        if named is None:
            gateway = url._replace(url=url.url.removesuffix("/metrics"))
            return cls(gateway, JOB, {"instance": host, "uid": str(user_id)})
        words = named[1].strip("/").split("/")
        if len(words) % 2:
            raise UsageError("--metrics-push: a group is /metrics/job/JOB[/LABEL/VALUE…]")
        pairs = dict(map(_label, words[::2], words[1::2]))
        return cls(url._replace(url=url.url[: named.start()]), pairs.pop("job"), pairs)


def _label(name: str, value: str) -> tuple[str, str]:
    """Return a label as a group's path has it."""
    if not name.endswith(_BASE64):
        return name, unquote(value)
    try:
        padded = value.encode() + b"=" * (-len(value) % 4)
        return name.removesuffix(_BASE64), base64.urlsafe_b64decode(padded).decode()
    except ValueError as error:
        raise UsageError("--metrics-push: a label of the group is not base64") from error


class Pushgateway:
    """Pushes the totals of one group. `directory` holds the totals of all groups of this user."""

    def __init__(
        self, group: Group, directory: Path, ca_bundle: str | None, proxies: Mapping[str, str]
    ) -> None:
        self._group = group
        self._what = f"the Pushgateway at {group.gateway.origin}"
        self._options = (ca_bundle, proxies)
        name = json.dumps([group.gateway.url, group.job, sorted(group.labels.items())])
        self.totals = directory / f"{sha256(name.encode()).hex()[:16]}.prom"
        self._queue = DeliveryQueue(self._add)

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Add to the totals, and push them.

        Raises OrchestratorError: the totals cannot be kept, and nothing is pushed; or the gateway
        did not take them within SEND_SECONDS, and the next push makes up for it.
        """
        self._queue.export(snapshot)
        try:
            self._push()
        except BlockingIOError as error:
            raise UnavailableError(f"{self._what}: another command is pushing") from error
        except OSError as error:
            where = printable(self.totals)
            raise OrchestratorError(f"cannot push {where}: {error.strerror}") from error
        except Exception as error:
            if isinstance(error, TransportError) and error.kind is TransportErrorKind.TOO_SLOW:
                late = f"{self._what}: no answer in {SEND_SECONDS:g} s"
                raise UnavailableError(late) from error
            translated = map_exception(error, self._what)
            if translated is error:
                raise
            raise translated from error

    def _add(self, snapshot: MetricsSnapshot) -> None:
        try:
            private_directory(self.totals.parent).close()
        except OSError as error:
            where = printable(self.totals.parent)
            raise OrchestratorError(
                f"no totals can be kept in {where}: {error.strerror}"
            ) from error
        add_to_file(self.totals, snapshot)

    def _push(self) -> None:
        from prometheus_client import push_to_gateway

        # Read under the lock, so that nobody's older totals arrive after newer ones.
        with locked(self.totals.with_suffix(".push")) as directory:
            push_to_gateway(
                self._group.gateway.url,
                self._group.job,
                cast("Any", read_totals(directory, self.totals.name)),
                self._group.labels,
                SEND_SECONDS,
                self._make_sender,
            )

    def _make_sender(
        self,
        url: str,
        method: str,
        timeout: float | None,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> Callable[[], None]:
        """Return what sends one request, as prometheus-client asks its handler to."""
        named = {name.lower(): text for name, text in headers}
        if self._group.gateway.authorization is not None:
            named["authorization"] = self._group.gateway.authorization
        return partial(self._send, Request(method, url, named, data, total_timeout_seconds=timeout))

    def _send(self, request: Request) -> None:
        from orchestrator_cli.core.http.curl.easy import EasyTransport
        from orchestrator_cli.core.http.curl.options import ClientOptions

        options = ClientOptions(*self._options)
        with contextlib.closing(EasyTransport(options)) as http:
            response = http.send(request)
        raise_for_rejection(response.status, response.headers.get("content-type", ""), self._what)
