"""The bound: what an upload of small files cannot leave out, written down in one function.

Each file is read, hashed, signed for and sent by libcurl's multi handle in one thread. Nothing is
looked up, recorded, compared, tried again, shown or limited. Usage: PATH PREFIX.
"""

from __future__ import annotations

import hashlib
import os
import sys
from base64 import b64encode
from datetime import UTC, datetime

import pycurl

from orchestrator_cli.core.s3.sigv4 import SigningKey, sign_headers

_IN_FLIGHT = 16


def main() -> None:
    """Upload every file below a directory."""
    root, prefix = sys.argv[1:]
    key = SigningKey(
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        None,
        os.environ["AWS_REGION"],
    )
    base = f"{os.environ['AWS_ENDPOINT_URL']}/bench/{prefix}"
    paths = [os.path.join(where, name) for where, _, names in os.walk(root) for name in names]
    multi = pycurl.CurlMulti()
    free = [_handle() for _ in range(min(_IN_FLIGHT, len(paths)))]
    waiting = len(paths)
    while waiting:
        while free and paths:
            curl, path = free.pop(), paths.pop()
            _prepare(curl, key, f"{base}{os.path.relpath(path, root)}", path)
            multi.add_handle(curl)
        multi.perform()
        ended, failed = _ended(multi)
        if failed or any(curl.getinfo(pycurl.RESPONSE_CODE) >= 300 for curl in ended):
            sys.exit(f"a request has failed: {failed}")
        for curl in ended:
            multi.remove_handle(curl)
        free += ended
        waiting -= len(ended)
        if not ended:
            multi.select(1.0)


def _handle() -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.UPLOAD, 1)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 256 * 1024)
    curl.setopt(pycurl.WRITEFUNCTION, len)
    if ca_file := os.environ.get("AWS_CA_BUNDLE"):
        curl.setopt(pycurl.CAINFO, ca_file)
    return curl


def _prepare(curl: pycurl.Curl, key: SigningKey, url: str, path: str) -> None:
    with open(path, "rb", buffering=0) as file:
        data = file.read()
    digest = hashlib.sha256(data)
    headers = {
        "content-type": "application/octet-stream",
        "if-none-match": "*",
        "x-amz-checksum-sha256": b64encode(digest.digest()).decode(),
        "x-amz-meta-sha256": digest.hexdigest(),
    }
    signed = sign_headers(key, "PUT", url, datetime.now(UTC), headers, digest.hexdigest())
    pieces = [data]
    curl.setopt(pycurl.URL, url)
    curl.setopt(
        pycurl.HTTPHEADER, [*(f"{name}: {text}" for name, text in signed.items()), "Expect:"]
    )
    curl.setopt(pycurl.INFILESIZE_LARGE, len(data))
    curl.setopt(pycurl.READFUNCTION, lambda _: pieces.pop() if pieces else b"")


def _ended(multi: pycurl.CurlMulti) -> tuple[list[pycurl.Curl], list[str]]:
    ended: list[pycurl.Curl] = []
    failed: list[str] = []
    left = 1
    while left:
        left, succeeded, broken = multi.info_read()
        ended += succeeded
        failed += [text for _, _, text in broken]
    return ended, failed


if __name__ == "__main__":
    main()
