"""Buckets of very many executions, listed as S3 does.

What is listed is honoured: prefix, delimiter, where to start, a thousand a page.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Result, Status
from orchestrator_cli.core.executions.record.repository import serialise
from tests.bench.counted.counting import Answer, Call
from tests.bench.counted.documents import describe, document, refuse
from tests.bench.measuring.peers import BUCKET
from tests.support.stored.executions import make_id

HOUR_BUCKET = "hour"
IN_THE_HOUR = 100
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
    """Answers listings of buckets by name, and reads of the metadata that is known by key."""

    def __init__(
        self, buckets: Mapping[str, Sequence[str]], metadata: Mapping[str, Answer]
    ) -> None:
        """Take the ids of the executions in each bucket."""
        self._listings = {
            name: Listing([key for one in ids for key in _keys(one)])
            for name, ids in buckets.items()
        }
        self._metadata = metadata

    @classmethod
    def of_last_hour(cls, executions: int, now: datetime) -> Crowd:
        """Return so many executions, and in a bucket of their own those of the hour before `now`.

        These are a hundred, they are running, and only their metadata is known.
        """
        chance = random.Random(2)
        # Young enough to stay in the hour while it is measured, and old enough to be outside.
        ages = [chance.uniform(60, 1200) for _ in range(min(IN_THE_HOUR, executions))]
        young = _ids(ages, now)
        old = _ids([chance.uniform(7200, 3e7) for _ in range(executions - len(young))], now)
        records = (
            ExecutionMetadata(execution_id=one, started_at=now, test_suite="smoke") for one in young
        )
        return cls({BUCKET: young + old, HOUR_BUCKET: young}, _describe(records))

    @classmethod
    def of_finished(cls, buckets: Mapping[str, int], now: datetime) -> Crowd:
        """Return buckets of so many finished executions of the days before `now`."""
        chance = random.Random(3)
        ages = [chance.uniform(7200, 2e6) for _ in range(max(buckets.values()))]
        ids = _ids(ages, now)
        records = (
            ExecutionMetadata(
                execution_id=one,
                started_at=now - timedelta(seconds=age),
                ended_at=now,
                test_suite="smoke",
                bench_id="bench-07",
                status=Status.COMPLETED,
                result=Result.PASS,
                artifact_count=len(_FILES),
                labels={"branch": "main", "commit": "0" * 40},
            )
            for one, age in zip(ids, ages, strict=True)
        )
        return cls({name: ids[:count] for name, count in buckets.items()}, _describe(records))

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


def _ids(ages: Sequence[float], now: datetime) -> list[str]:
    return [make_id(now - timedelta(seconds=age), number) for number, age in enumerate(ages)]


def _keys(execution_id: str) -> list[str]:
    root = f"executions/{execution_id}/"
    return [f"{root}metadata.json", *(root + name for name in _FILES)]


def _describe(records: Iterable[ExecutionMetadata]) -> dict[str, Answer]:
    return {_keys(one.execution_id)[0]: describe(serialise(one)) for one in records}
