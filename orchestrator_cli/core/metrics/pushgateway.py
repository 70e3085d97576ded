"""Metrics at a Prometheus Pushgateway, which keeps one set of values for each group of labels.

It adds nothing up: what is pushed takes the place of what was there. So the totals of all commands
are kept here, in a file, and pushed whole: a push that fails is made up for by the next one, one
that comes twice changes nothing, and counters only grow, as rate() needs them.
https://github.com/prometheus/pushgateway
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.private import private_directory
from orchestrator_cli.core.http.transport import Request, TransportError, TransportErrorKind
from orchestrator_cli.core.http.url import ServiceUrl
from orchestrator_cli.core.metrics.delivery import SEND_SECONDS, Owed, check_taken
from orchestrator_cli.core.metrics.registry import MetricsSnapshot
from orchestrator_cli.core.metrics.text_file import add_to_file, locked, read_exposition
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.errors import map_exception
from orchestrator_cli.core.s3.session import USER_AGENT

JOB = "orchestrator"
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def group_address(gateway: ServiceUrl, host: str, user_id: int) -> ServiceUrl:
    """Return the address of the group that its path names, or else of this machine and user.

    Whoever else pushed to the same group would replace these totals with others.
    """
    path = urlsplit(gateway.url).path
    if "/metrics/job/" in path or "/metrics/job@base64/" in path:
        return gateway
    group = f"job/{JOB}/instance/{quote(host, safe='')}/uid/{user_id}"
    return replace(gateway, url=f"{gateway.url.removesuffix('/metrics')}/metrics/{group}")


class Pushgateway:
    """Pushes the totals of one group. `directory` holds the totals of all groups of this user."""

    def __init__(
        self,
        group: ServiceUrl,
        directory: Path,
        ca_bundle: str | None,
        proxies: Mapping[str, str],
    ) -> None:
        self._group = group
        self._what = f"the Pushgateway at {group.origin}"
        self._ca_bundle = ca_bundle
        self._proxies = proxies
        self.totals = directory / f"{sha256(group.url.encode()).hex()[:16]}.prom"
        self._owed = Owed(self._add)

    def push(self, measured: MetricsSnapshot) -> None:
        """Add to the totals, and push them.

        Raises OrchestratorError: the totals cannot be kept, and nothing is pushed; or the gateway
        did not take them within SEND_SECONDS, and the next push makes up for it.
        """
        self._owed.deliver(measured)
        try:
            self._push()
        except BlockingIOError as error:
            raise UnavailableError(f"{self._what}: another command is at it") from error
        except OSError as error:
            where = printable(self.totals)
            raise OrchestratorError(f"cannot push {where}: {error.strerror}") from error
        except TransportError as error:
            if error.kind is not TransportErrorKind.TOO_SLOW:
                raise map_exception(error, self._what) from error
            raise UnavailableError(f"{self._what}: no answer in {SEND_SECONDS:g} s") from error
        except Exception as error:
            translated = map_exception(error, self._what)
            if translated is error:
                raise
            raise translated from error

    def _add(self, measured: MetricsSnapshot) -> None:
        try:
            private_directory(self.totals.parent).close()
        except OSError as error:
            where = printable(self.totals.parent)
            raise OrchestratorError(
                f"no totals can be kept in {where}: {error.strerror}"
            ) from error
        add_to_file(self.totals, measured)

    def _push(self) -> None:
        # Read under the lock, so that nobody's older totals arrive after newer ones.
        with locked(self.totals.with_suffix(".push")) as directory:
            self._put(read_exposition(directory, self.totals.name))

    def _put(self, totals: bytes) -> None:
        from orchestrator_cli.core.http.curl_easy import EasyTransport
        from orchestrator_cli.core.http.curl_options import ClientOptions

        headers = {"content-type": _MEDIA_TYPE}
        if self._group.authorization is not None:
            headers["authorization"] = self._group.authorization
        options = ClientOptions(self._ca_bundle, self._proxies, USER_AGENT)
        request = Request(
            "PUT", self._group.url, headers, totals, total_timeout_seconds=SEND_SECONDS
        )
        with contextlib.closing(EasyTransport(options)) as http:
            answer = http.send(request)
        check_taken(answer.status, answer.headers.get("content-type", ""), self._what)
