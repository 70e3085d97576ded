"""A real browser, its pages, and what they asked for. Without one, its tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium as the system has it, without a screen."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: make test-browser does that"
    )
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=options,
            # Somebody who looks has them.
            ignore_default_args=["--hide-scrollbars"],
        )
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page did: requests and how much came, messages, windows that it opened."""

    hosts: set[str] = field(default_factory=set)
    urls: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    received_bytes: int = 0


@dataclass
class Tab:
    """A page of the browser and what it did."""

    page: Any
    seen: Seen

    def open(self, url: str) -> None:
        """Open an address and wait until what it has is there."""
        self.page.goto(url, wait_until="load")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def rows(self) -> list[str]:
        """Return the rows of a log that are on the screen."""
        found: list[str] = self.page.evaluate(
            """() => {
              const box = document.getElementById("lines").getBoundingClientRect();
              return [...document.querySelectorAll(".row")].filter((row) => {
                const at = row.getBoundingClientRect();
                return at.bottom > box.top + 2 && at.top < box.bottom - 2;
              }).map((row) => row.querySelector("code").textContent);
            }"""
        )
        return found

    def wait(self, expression: str, argument: Any = None) -> None:
        """Wait until a script's expression is true."""
        self.page.wait_for_function(expression, arg=argument, timeout=20_000)

    def wait_for_row(self, text: str) -> None:
        """Wait until a log shows a row with this text."""
        self.wait(
            """(text) => [...document.querySelectorAll(".row code")]
               .some((row) => row.textContent.includes(text))""",
            text,
        )


OpenTab = Callable[..., Tab]


@pytest.fixture
def new_tab(chromium: Any) -> Iterator[OpenTab]:
    """Open tabs with `new_tab(width=…, theme=…)`; each is its own browser with its own cookies."""
    contexts = []

    def make(width: int = 1280, theme: str = "light", **options: Any) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, **options
        )
        contexts.append(context)
        seen = Seen()

        def asked(request: Any) -> None:
            seen.urls.append(request.url)
            seen.hosts.add(request.url.split("/")[2])

        context.on("request", asked)
        page = context.new_page()
        page.on("pageerror", lambda error: seen.problems.append(str(error)))
        page.on("dialog", lambda dialog: seen.problems.append(f"dialog {dialog.message}"))
        page.on("console", lambda told: _note(seen, told))
        cdp = context.new_cdp_session(page)
        cdp.send("Network.enable")

        def received(event: dict[str, Any]) -> None:
            seen.received_bytes += int(event["encodedDataLength"])

        cdp.on("Network.loadingFinished", received)
        return Tab(page, seen)

    yield make
    for context in contexts:
        context.close()


def _note(seen: Seen, told: Any) -> None:
    if told.type == "error":
        seen.problems.append(told.text)
