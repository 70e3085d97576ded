"""The mark that a record keeps of an unfinished upload, so that a killed one leaves a trace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

# A mark names up to so many files. An upload of no more has ended once they are all stored.
MAX_PATHS = 100
_MAX_MARK_BYTES = 4 * 1024
# The most bytes of all marks in a record: metadata.json must stay small.
_MAX_MARKS_BYTES = 24 * 1024


class UploadMark(NamedTuple):
    """An upload that has begun, by the first files it stores.

    `more` says that it has others too; `selection` which files of a tree it takes, "" for all.
    `began_at` is a time in RFC 3339.
    """

    upload_id: str
    began_at: str
    paths: tuple[str, ...]
    more: bool = False
    selection: str = ""

    @classmethod
    def of(cls, record: Any) -> Self:
        """Return what a record says. Raises LookupError, TypeError, ValueError."""
        paths = tuple(map(str, record["paths"]))
        selection = str(record.get("selection", ""))
        more = bool(record.get("more", False))
        return cls(str(record["upload_id"]), str(record["began_at"]), paths, more, selection)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {**self._asdict(), "paths": list(self.paths)}

    def shortened(self) -> UploadMark:
        """Return it with as many names as one mark has room for."""
        paths = self.paths[:MAX_PATHS]
        while len(json.dumps(paths)) > _MAX_MARK_BYTES:
            paths = paths[: len(paths) // 2]
        return self._replace(paths=paths, more=self.more or len(paths) < len(self.paths))


def with_mark(records: list[Any], mark: UploadMark) -> list[Any]:
    """Return a record's unfinished uploads with one more; one that is there stays as it is."""
    if any(_id_of(one) == mark.upload_id for one in records):
        return records
    added = mark.to_dict()
    if len(json.dumps([*records, added])) > _MAX_MARKS_BYTES:
        added = {**added, "paths": added["paths"][:1], "more": True}
    return [*records, added]


def without_marks(records: list[Any], upload_ids: Iterable[str]) -> list[Any]:
    """Return a record's unfinished uploads without those that have ended."""
    ended = set(upload_ids)
    return [one for one in records if _id_of(one) not in ended]


def _id_of(record: Any) -> str:
    return str(record.get("upload_id")) if isinstance(record, dict) else ""
