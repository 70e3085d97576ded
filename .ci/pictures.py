"""Take the pictures of pages in README.md. Run it inside a sandbox: `make pictures` does."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main(folder: Path) -> None:
    """Show the execution of the demo that failed, and its log."""
    listed = subprocess.run(
        ["orchestrator", "ls", "--suite", "door", "--json"], check=True, capture_output=True
    )
    execution_id = json.loads(listed.stdout.splitlines()[0])["execution_id"]
    command = ["orchestrator", "serve", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        told = server.stderr.readline() if server.stderr else ""
        address = re.findall(r"http://\S+", told)[0]
        page = f"{address}/ui/executions/{execution_id}"
        take({"page-execution": page, "page-log": f"{page}/logs/stdout"}, folder)
    finally:
        server.terminate()
        server.communicate()


def take(pages: dict[str, str], folder: Path) -> None:
    """Take a picture of each page."""
    path = next(filter(None, map(shutil.which, _CHROMIUM)))
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(
            executable_path=path, ignore_default_args=["--hide-scrollbars"], **options
        )
        for name, url in pages.items():
            tab = browser.new_page(viewport={"width": 1080, "height": 700})
            tab.goto(url, wait_until="networkidle")
            tab.wait_for_timeout(500)
            tab.screenshot(path=folder / f"{name}.png")
        browser.close()


main(Path(sys.argv[1]))
