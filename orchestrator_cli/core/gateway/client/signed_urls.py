"""The URLs that a server has signed for reading, kept while they work."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from orchestrator_cli.core.s3.bucket.presign import UrlExpiry

# About two pages of a listing.
_MAX_KEPT = 2048


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that reads one object; `expiry` as it was when the server signed it."""

    url: str
    expiry: UrlExpiry

    @classmethod
    def of(cls, url: str, *, is_certain: bool = True) -> SignedUrl:
        """Return it with what the URL says of its expiry. Raises ValueError for another URL."""
        if not url.startswith(("https://", "http://")) or not (url.isascii() and url.isprintable()):
            # It is sent to, and may be shown.
            raise ValueError("not a URL")
        fields = parse_qs(urlsplit(url).query)
        try:
            seconds = int(fields["X-Amz-Expires"][0])
            signed_at = datetime.strptime(fields["X-Amz-Date"][0] + "+0000", "%Y%m%dT%H%M%SZ%z")
            expires_at = signed_at + timedelta(seconds=seconds)
        except (KeyError, OverflowError) as error:
            raise ValueError("not a presigned URL") from error
        return cls(url, UrlExpiry(seconds, expires_at, False, is_certain))


class SignedUrls:
    """Signed URLs by key. Safe to share between threads.

    A URL is given away for half of its time: what is begun with it has to end as well.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[SignedUrl, float]] = {}
        self._refused: set[str] = set()

    def put(self, key: str, signed: SignedUrl) -> None:
        """Keep a URL that was signed just now."""
        good_until = time.monotonic() + signed.expiry.expires_in_seconds / 2
        with self._lock:
            self._kept.pop(key, None)
            if len(self._kept) >= _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = signed, good_until

    def get(self, key: str) -> SignedUrl | None:
        """Return a URL that works for a while, or None."""
        with self._lock:
            signed, good_until = self._kept.get(key, (None, 0.0))
            return signed if time.monotonic() < good_until else None

    def refuse(self, key: str) -> bool:
        """Forget a URL that the storage refused; return True where another one may be taken.

        It may have expired while this machine slept. One that is refused again is refused for
        another reason.
        """
        with self._lock:
            self._kept.pop(key, None)
            is_first = key not in self._refused
            self._refused.add(key)
            return is_first

    def accept(self, key: str) -> None:
        """Note that a URL worked."""
        self._refused.discard(key)
