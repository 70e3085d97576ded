"""Two buckets to list: one of very many executions, and one of the last hour's alone.

What is listed is honoured as S3 does: prefix, delimiter, where to start, a thousand a page.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import serialise
from tests.bench.counting import Answer, Call, CountingServer, run_counting_server
from tests.bench.documents import describe, document, refuse
from tests.bench.peers import BUCKET, OURS, Tools
from tests.bench.workloads import Target, Workload
from tests.support.stored.executions import make_id

_HOUR_BUCKET = "hour"
_HOUR_ALONE = "that hour alone"
_IN_THE_HOUR = 100
_PAGE = 1000
# After every character that a key here has.
_AFTER_ALL = "~"
# What an execution holds beside its metadata.
_FILES = ("artifacts/results.json", "logs/runner.log", "logs/stdout.log")


class Listing:
    """A bucket's sorted keys, listed as S3 does."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = sorted(keys)

    def page(self, prefix: str, delimiter: str, after: str) -> tuple[list[str], list[str], bool]:
        """Return the next keys, the next common prefixes, and whether there are more."""
        keys: list[str] = []
        prefixes: list[str] = []
        at = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        while at < len(self._keys) and self._keys[at].startswith(prefix):
            if len(keys) + len(prefixes) == _PAGE:
                return keys, prefixes, True
            end = self._keys[at].find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                keys.append(self._keys[at])
                at += 1
            else:
                prefixes.append(self._keys[at][: end + len(delimiter)])
                at = bisect_left(self._keys, prefixes[-1] + _AFTER_ALL, at)
        return keys, prefixes, False


class Crowd:
    """Answers listings of both buckets, and reads of the last hour's metadata."""

    def __init__(self, executions: int, now: datetime) -> None:
        """Make so many executions, a hundred of them in the hour before `now`."""
        chance = random.Random(2)
        # Young enough to stay in the hour while it is measured, and old enough to be outside.
        ages = [chance.uniform(60, 1200) for _ in range(min(_IN_THE_HOUR, executions))]
        young = [make_id(now - timedelta(seconds=age), n) for n, age in enumerate(ages)]
        ages = [chance.uniform(7200, 3e7) for _ in range(executions - len(young))]
        old = [make_id(now - timedelta(seconds=age), n) for n, age in enumerate(ages)]
        self._listings = {
            BUCKET: Listing([key for one in old + young for key in _keys(one)]),
            _HOUR_BUCKET: Listing([key for one in young for key in _keys(one)]),
        }
        self._metadata = {_keys(one)[0]: _metadata(one, now) for one in young}

    def answer(self, call: Call) -> Answer:
        """Answer one request; what is not known is answered with 501."""
        request = call.request
        if request.operation == "ListObjectsV2":
            return self._list(request.bucket, request.query)
        if request.operation in ("GetObject", "HeadObject"):
            return self._metadata.get(request.key) or refuse(404, "NoSuchKey")
        return refuse(501, "NotImplemented")

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        keys, prefixes, more = self._listings[bucket].page(
            prefix, query.get("delimiter", ""), after
        )
        last = max(keys[-1:] + [one + _AFTER_ALL for one in prefixes[-1:]], default="")
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>512</Size><ETag>&quot;{'0' * 32}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{quote(one)}</Prefix></CommonPrefixes>" for one in prefixes
        )
        return document(
            "ListBucketResult",
            f"<Name>{bucket}</Name><Prefix>{quote(prefix)}</Prefix><MaxKeys>{_PAGE}</MaxKeys>"
            f"<KeyCount>{len(keys) + len(prefixes)}</KeyCount><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}{common}",
        )


@contextmanager
def run_crowd(
    certificates: Path, tools: Tools, executions: int
) -> Iterator[tuple[CountingServer, Workload]]:
    """Serve both buckets until the block ends, and yield what lists them."""
    crowd = Crowd(executions, datetime.now(UTC))
    with run_counting_server(crowd.answer, certificates) as server:
        yield server, _workload(tools, server, executions)


def _workload(tools: Tools, server: CountingServer, executions: int) -> Workload:
    ours = tools.command(OURS, "ls", "--since", "1h")
    alone = tools.command(OURS, "--bucket", _HOUR_BUCKET, "ls", "--since", "1h")
    whole = f"s3://{BUCKET}/executions/"
    peers = {"s5cmd": ("ls", whole), "aws": ("s3", "ls", whole)}
    return Workload(
        "ls",
        f"list the last hour's {_IN_THE_HOUR} of {executions:,} executions; the others list all",
        {
            OURS: ours,
            _HOUR_ALONE: alone,
            **{
                name: tools.command(name, *arguments)
                for name, arguments in peers.items()
                if name in tools.paths
            },
        },
        (Target("requests", _HOUR_ALONE, 1.0),),
        before_each=server.forget,
        after_each=lambda: {"requests": float(len(server.forget()))},
    )


def _keys(execution_id: str) -> list[str]:
    root = f"executions/{execution_id}/"
    return [f"{root}metadata.json", *(root + name for name in _FILES)]


def _metadata(execution_id: str, now: datetime) -> Answer:
    record = ExecutionMetadata(execution_id=execution_id, started_at=now, test_suite="smoke")
    return describe(serialise(record))
