"""Measure the pages on large buckets, in Chromium: `make bench-pages` prints what it took.

Each row is a target, what was measured, and whether that is within it. The store answers at once,
so what is measured is the server and the browser.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import urllib3
from playwright.sync_api import sync_playwright

from tests.browser.static_store import (
    BUCKET,
    LINE_BYTES,
    StaticStore,
    Stored,
    huge_log,
    serving_store,
)
from tests.support.stored.executions import make_id, make_record

_KIB, _MIB = 1024, 1024**2
_LOG_BYTES = 5 * 1024 * _MIB
_EXECUTIONS = 100_000
_ENDED = {"status": "completed", "artifact_status": "complete", "result": "pass"}
_NOW = datetime.now(UTC)
_CROWDS: dict[str, Callable[[int], datetime]] = {
    "over a month": lambda n: _NOW - timedelta(seconds=26 * n + 1),
    "in an hour": lambda n: _NOW - timedelta(seconds=0.036 * n + 1),
    "in a minute, a month ago": lambda n: _NOW - timedelta(days=30, seconds=0.0006 * n),
}
_QUERIES = (
    "",
    "?result=fail",
    "?suite=smoke&since=7d",
    "?since=40d&until=15d",
    "?label=branch=main",
)


class Targets:
    """Prints what was measured; `missed` counts what was not reached."""

    def __init__(self) -> None:
        self.missed = 0

    def check(self, what: str, found: float, most: float, unit: str) -> None:
        """Compare a measurement with its target."""
        self.missed += found > most
        verdict = "ok" if found <= most else "MISSED"
        print(f"{what:<64} {found:10,.2f} of {most:g} {unit:<9} {verdict}", flush=True)


class Site:
    """A server before a store, and what a client sees of it."""

    def __init__(self, store: StaticStore, url: str, pid: int) -> None:
        self.store = store
        self.url = url
        self._pid = pid
        self._http = urllib3.PoolManager(retries=False, timeout=60)

    def get(self, path: str) -> str:
        """Return a page."""
        answer = self._http.request("GET", self.url + path)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def peak_mib(self) -> float:
        """Return the most memory that the server has had."""
        status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / _KIB

    def close(self) -> None:
        """Let connections go."""
        self._http.clear()


@contextmanager
def site(objects: dict[str, Stored]) -> Iterator[Site]:
    """Run `serve` in front of these objects."""
    store = StaticStore(objects)
    with serving_store(store) as endpoint:
        own = {
            "AWS_ENDPOINT_URL": endpoint,
            "ORCHESTRATOR_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": "measured",
            "AWS_SECRET_ACCESS_KEY": "measured",
            "AWS_REGION": "us-east-1",
        }
        command = [sys.executable, "-m", "orchestrator_cli", "serve", "--port", "0"]
        with subprocess.Popen(
            command, env=os.environ | own, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            found = re.search(r"http://[\d.]+:\d+", process.stderr.readline())
            assert found
            shown = Site(store, found[0], process.pid)
            try:
                shown.get("/ui/login")
                yield shown
            finally:
                shown.close()
                process.terminate()
                process.stderr.read()


def measure_log(targets: Targets, browser: Any) -> None:
    """Open a log of 5 GiB at its end, and in the middle by a link."""
    execution_id = make_id()
    root = f"executions/{execution_id}/"
    record = json.dumps(make_record(execution_id, **_ENDED)).encode()
    objects: dict[str, Stored] = {f"{root}metadata.json": record}
    objects[f"{root}logs/stdout.log"] = huge_log(_LOG_BYTES)
    with site(objects) as shown:
        page = f"{shown.url}/ui/executions/{execution_id}/logs/stdout"
        before = shown.peak_mib()
        last = _LOG_BYTES // LINE_BYTES
        seconds = _open_at(browser, page, f"line {last} of")
        targets.check("5 GiB log: its end is shown within", seconds, 2, "s")
        moved = sum(end - start for start, end in shown.store.ranges) / _MIB
        targets.check("5 GiB log: read from S3 for its end", moved, 2, "MiB")
        shown.store.forget()
        middle = last // 2
        link = f"{page}#o={middle * LINE_BYTES}-{(middle + 1) * LINE_BYTES}"
        seconds = _open_at(browser, link, f"line {middle + 1} of")
        targets.check("5 GiB log: a line in the middle by its link, within", seconds, 2, "s")
        targets.check("5 GiB log: ranges read for that", len(shown.store.ranges), 3, "requests")
        targets.check("5 GiB log: growth of the server", shown.peak_mib() - before, 64, "MiB")


def _open_at(browser: Any, url: str, text: str) -> float:
    """Return the seconds until a row with this text is in the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    begun = time.monotonic()
    page.goto(url, wait_until="commit")
    page.wait_for_function(
        """(text) => [...document.querySelectorAll(".row code")]
           .some((row) => row.textContent.startsWith(text))""",
        arg=text,
    )
    seconds = time.monotonic() - begun
    # What is read ahead counts too.
    page.wait_for_load_state("networkidle")
    context.close()
    return seconds


def measure_lists(targets: Targets, browser: Any) -> None:
    """List the newest of many executions, wherever in time they are."""
    for crowd, instant in _CROWDS.items():
        for fields in (_ENDED, {}):
            objects: dict[str, Stored] = {}
            for number in range(_EXECUTIONS):
                execution_id = make_id(instant(number), number)
                record = make_record(execution_id, test_suite="smoke", **fields)
                record["labels"] = {"branch": "main", "commit": "0" * 40}
                objects[f"executions/{execution_id}/metadata.json"] = json.dumps(record).encode()
            with site(objects) as shown:
                kind = f"{_EXECUTIONS:,} {crowd}{'' if fields else ', all running'}"
                _measure_list(targets, shown, kind)
                if crowd == "over a month" and fields:
                    _measure_paint(targets, browser, f"{shown.url}/ui/", kind)


def _measure_list(targets: Targets, shown: Site, kind: str) -> None:
    slowest, most, largest = 0.0, 0, 0
    for query in _QUERIES:
        shown.store.forget()
        begun = time.monotonic()
        page = shown.get(f"/ui/{query}")
        slowest = max(slowest, time.monotonic() - begun)
        most = max(most, shown.store.requests.total())
        largest = max(largest, len(page.encode()))
    targets.check(f"{kind}: the slowest page", slowest, 1, "s")
    targets.check(f"{kind}: requests of a page", most, 60, "requests")
    targets.check(f"{kind}: the largest page", largest / _KIB, 150, "KiB")


def _measure_paint(targets: Targets, browser: Any, url: str, kind: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url)
    # A function, as the pages allow no text to be run.
    page.wait_for_function(
        "() => performance.getEntriesByName('first-contentful-paint').length > 0"
    )
    milliseconds = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    targets.check(f"{kind}: first paint", milliseconds / 1000, 1, "s")
    sizes = page.evaluate(
        """performance.getEntriesByType('navigation')
           .concat(performance.getEntriesByType('resource').filter(
             (one) => one.initiatorType !== 'img'))
           .map((one) => one.decodedBodySize).reduce((a, b) => a + b)"""
    )
    targets.check(f"{kind}: page, script and style", sizes / _KIB, 150, "KiB")
    context.close()


def measure_execution(targets: Targets, browser: Any) -> None:
    """Show an execution of ten thousand files and five hundred screenshots."""
    execution_id = make_id()
    root = f"executions/{execution_id}/"
    files = [f"artifacts/custom/shard-{n % 100:02}/case-{n:05}.json" for n in range(9_500)]
    shots = [f"artifacts/screenshots/step-{n:03}.svg" for n in range(500)]
    picture = b'<svg xmlns="http://www.w3.org/2000/svg" width="220" height="140"/>'
    objects: dict[str, Stored] = {root + path: picture for path in files + shots}
    objects |= {f"{root}logs/{name}.log": b"one line\n" * 9999 for name in ("stdout", "stderr")}
    record = make_record(execution_id, artifact_count=10_002, manifest_sha256="0" * 64, **_ENDED)
    objects[f"{root}metadata.json"] = json.dumps(record).encode()
    kind = "10,000 files, 500 screenshots"
    with site(objects) as shown:
        address = f"/ui/executions/{execution_id}"
        _measure_paint(targets, browser, shown.url + address, kind)
        shown.store.forget()
        shown.get(address)
        targets.check(f"{kind}: requests of a page", shown.store.requests.total(), 60, "requests")
        reached, largest = _crawl(shown, address)
        targets.check(f"{kind}: the largest page", largest / _KIB, 150, "KiB")
        missing = len(set(files + shots) - reached)
        targets.check(f"{kind}: files that no link leads to", missing, 0, "files")


def _crawl(shown: Site, address: str) -> tuple[set[str], int]:
    """Return the paths that links of an execution's pages lead to, and the largest page's size."""
    waiting, seen = [address], {address}
    reached: set[str] = set()
    largest = 0
    while waiting:
        page = shown.get(waiting.pop())
        largest = max(largest, len(page.encode()))
        reached |= set(re.findall(r'/artifacts/(artifacts/[^"]+)"', page))
        for query in re.findall(r'href="\./[0-9A-Z]{26}(\?[^"#]*)', page):
            following = address + unescape(query)
            # Pages of the gallery beside pages of each folder are the same folders again.
            if following not in seen and not ("shots=" in following and "dir=" in following):
                seen.add(following)
                waiting.append(following)
    return reached, largest


def main() -> int:
    """Measure everything; 1 where a target is missed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        print("there is no Chromium here: apt-get install chromium", file=sys.stderr)
        return 2
    targets = Targets()
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        for measure in (measure_log, measure_execution, measure_lists):
            measure(targets, browser)
        browser.close()
    return 1 if targets.missed else 0


if __name__ == "__main__":
    sys.exit(main())
