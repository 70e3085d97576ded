"""An S3 that costs almost nothing: nginx over TLS, fixed answers, bodies discarded.

So the client is what is measured. A write with `If-None-Match: *` is answered with 201: with
200 nginx would evaluate the condition itself and answer 412. Reads are static files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.servers.nginx import Nginx, free_port
from tests.bench.servers.sink_config import NS, XML, Settings, Stored, render_config

_PAGE = 1000


def write_listing(
    home: Path, name: str, prefix: str, paths: list[str], size: int, etag: str
) -> None:
    """Write the pages of a listing of files that are all alike."""
    keys = sorted(prefix + path for path in paths)
    # Not in the future: s5cmd passes that over.
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for number, start in enumerate(range(0, max(len(keys), 1), _PAGE)):
        chosen = keys[start : start + _PAGE]
        more = start + _PAGE < len(keys)
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{now}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in chosen
        )
        token = f"<NextContinuationToken>page{number + 1}</NextContinuationToken>" if more else ""
        (home / "www/lists" / f"{name}-{number}.xml").write_text(
            f"{XML}<ListBucketResult {NS}><Name>bench</Name><Prefix>{prefix}</Prefix>"
            f"<KeyCount>{len(chosen)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )


@contextmanager
def run_sink(
    nginx: str, home: Path, ids: Mapping[str, str], stored: Stored, settings: Settings
) -> Iterator[str]:
    """Serve what is below `home/www`, as the bucket `bench`, until the block ends.

    Yields the endpoint. The certificates are in `home`.
    """
    (home / "www/lists").mkdir(parents=True, exist_ok=True)
    port = free_port()
    http = render_config(home, port, ids, stored, settings)
    with Nginx(nginx, home, "sink", settings.workers).run(http, port):
        yield f"https://localhost:{port}"
