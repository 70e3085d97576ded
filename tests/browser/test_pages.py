"""The list, one execution, comparing, logging in: as somebody uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.browser.conftest import OpenTab
from tests.support.commands.serving import Serve
from tests.support.commands.via import Tokens
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

pytestmark = pytest.mark.browser
ENDED: dict[str, Any] = {"status": "completed", "artifact_status": "complete", "result": "pass"}
HOSTILE = '"><img src=x onerror=window.pwned=1><script>window.pwned=1</script>'
SCRIPT_LINK = b"\x1b]8;;javascript:pwned=1\x07click\x1b]8;;\x07\n"
COLOURS = b"\x1b[31mred\x1b[0m \x1b[42mgreen\x1b[0m\nERROR: \x1b[2mfaint\x1b[0m\n"
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.pwned=1">
<script>parent.pwned=1;top.pwned=1</script><rect width="9" height="9"/></svg>"""
REPORT = b"""<!doctype html><link rel=stylesheet href=style.css><h1>report</h1><script>
let told = [self.origin];
try { told.push(document.cookie) } catch { told.push("no cookies") }
try { told.push(localStorage.length) } catch { told.push("no storage") }
const look = async (path) => {
  try { return (await fetch(path)).status } catch { return "refused" }
};
(async () => {
  told.push(await look("data.json"), await look("/executions"), await look("http://127.0.0.1:9/"));
  document.body.append(told.join("|"));
})();
</script>"""


def test_the_list_is_filtered_extended_and_updated(
    scene: Scene, new_tab: OpenTab, serve: Serve
) -> None:
    now = datetime.now(UTC)
    for number in range(100):
        scene.put_execution(
            make_id(now - timedelta(minutes=5 * number + 1), number),
            **ENDED | {"result": "fail" if number in (60, 90) else "pass"},
            test_suite=HOSTILE if number == 0 else "smoke",
            labels={"branch": HOSTILE},
            started_at=(now - timedelta(minutes=5 * number + 1)).isoformat(),
        )
    running = scene.put_execution(make_id(now, 500), test_suite="slow")
    server, tab = serve(), new_tab()
    tab.open(f"{server.url}/ui/")
    assert tab.page.locator("tbody tr").count() == 50
    assert tab.page.locator("tbody tr").first.get_attribute("id") == running
    tab.page.get_by_label("Result").select_option("fail")
    tab.page.get_by_role("button", name="Filter").click()
    # Few fit: it looks further back by itself.
    tab.wait("() => document.querySelectorAll('tbody tr').length === 2")
    assert parse_qs(urlsplit(tab.page.url).query)["result"] == ["fail"]
    tab.page.reload()
    tab.wait("() => document.querySelectorAll('tbody tr').length === 2")
    assert tab.page.get_by_label("Result").input_value() == "fail"
    tab.open(f"{server.url}/ui/?suite=slow")
    assert "running" in tab.text(f'[id="{running}"]')
    scene.put_execution(running, test_suite="slow", **ENDED)
    tab.wait("(id) => document.getElementById(id).innerText.includes('pass')", running)
    assert tab.page.evaluate("window.pwned") is None
    assert tab.seen.hosts == {urlsplit(server.url).netloc}
    assert tab.seen.problems == []


def test_without_scripts_the_list_and_an_execution_can_be_read(
    scene: Scene, new_tab: OpenTab, serve: Serve
) -> None:
    files = {f"artifacts/screenshots/{number:02}.png": b"" for number in range(70)}
    files["logs/stdout.log"] = b"one\ntwo\n"
    execution_id = scene.put_execution(files=files, test_suite="smoke", **ENDED)
    tab = new_tab(java_script_enabled=False)
    tab.open(f"{serve().url}/ui/")
    tab.page.get_by_label("Suite").fill("smoke")
    tab.page.get_by_role("button", name="Filter").click()
    tab.page.get_by_role("link", name="smoke", exact=True).click()
    assert execution_id in tab.page.url
    assert tab.text("pre") == "one\ntwo"
    assert tab.page.locator(".gallery li").count() == 60
    tab.page.get_by_role("link", name="More screenshots").click()
    assert tab.page.locator(".gallery li").count() == 10
    tab.page.get_by_role("link", name="artifacts/").click()
    tab.page.get_by_role("link", name="screenshots/").click()
    assert tab.page.locator(".files tbody tr").count() == 70


def test_stored_scripts_do_not_run_in_a_page(
    scene: Scene, new_tab: OpenTab, serve: Serve, tokens: Tokens
) -> None:
    name = "<img src=x onerror=parent.pwned=1>.html"
    files = {
        "logs/stdout.log": HOSTILE.encode()
        + b"\n\x1b]8;;javascript:pwned=1\x07click\x1b]8;;\x07\n",
        f"artifacts/custom/{name}": b"",
        "artifacts/custom/report/index.html": REPORT,
        "artifacts/custom/report/style.css": b"h1{color:rgb(1, 2, 3)}",
        "artifacts/custom/report/data.json": b"{}",
        "artifacts/screenshots/a.svg": SVG,
    }
    execution_id = scene.put_execution(
        files=files, test_suite=HOSTILE, labels={HOSTILE: HOSTILE}, **ENDED
    )
    server, tab = serve("--tokens", str(tokens.file)), new_tab()
    page = f"{server.url}/ui/executions/{execution_id}"
    tab.open(f"{page}#files")
    tab.page.get_by_label("Token").fill("orc_wrong")
    tab.page.keyboard.press("Enter")
    tab.page.get_by_role("alert").wait_for()
    assert [told[-6:] for told in tab.seen.problems] == ["403 ()"]
    tab.seen.problems.clear()
    # What a link is about is not lost on the way.
    tab.page.get_by_label("Token").fill(tokens.read)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(f"{page}#files")
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.locator(".gallery img").evaluate("(image) => image.naturalWidth") == 9
    tab.open(f"{page}?dir=artifacts/custom/")
    assert name in tab.text(".files")
    tab.open(f"{page}/logs/stdout")
    tab.wait_for_row("click")
    assert tab.rows()[0] == HOSTILE
    assert tab.page.locator(".row code a").count() == 0
    assert tab.page.evaluate("window.pwned") is None
    assert not tab.seen.problems
    tab.open(f"{page}?dir=artifacts/custom/report/")
    with tab.page.context.expect_page() as opened:
        tab.page.get_by_role("link", name="Open index.html").click()
    report = opened.value
    report.wait_for_function("() => document.body.innerText.includes('|')")
    told = report.inner_text("body").splitlines()[-1]
    assert told == "null|no cookies|no storage|200|refused|refused"
    assert report.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    svg = report.context.new_page()
    svg.goto(report.url.replace("custom/report/index.html", "screenshots/a.svg"))
    assert tab.page.evaluate("window.pwned") is None
    assert tab.seen.hosts == {urlsplit(server.url).netloc}
    tab.open(page)
    tab.page.get_by_role("button", name="Log out").click()
    tab.page.wait_for_url("**/ui/login")
    tab.open(page)
    assert "/ui/login" in tab.page.url


def test_it_works_below_a_path_behind_a_proxy(scene: Scene, new_tab: OpenTab, serve: Serve) -> None:
    files = {"logs/stdout.log": b"one\nERROR: two\n", "artifacts/screenshots/a.svg": SVG}
    files["artifacts/traces/a b.pcap"] = b"trace"
    execution_id = scene.put_execution(files=files, test_suite="smoke", **ENDED)
    server, tab = serve("--viewer", ".pcap=https://viewer.example/#!/?url="), new_tab()
    outside: list[str] = []

    def strip(route: Any) -> None:
        url = route.request.url
        if "/below/it/" not in url:
            outside.append(url)
        route.continue_(url=url.replace("/below/it/", "/"))

    tab.page.context.route("**/*", strip)
    tab.open(f"{server.url}/below/it/ui/")
    tab.page.get_by_role("link", name="smoke", exact=True).click()
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.locator(".gallery img").evaluate("(image) => image.naturalWidth") == 9
    tab.page.get_by_role("link", name="stdout", exact=True).click()
    tab.wait_for_row("ERROR: two")
    tab.open(f"{server.url}/below/it/ui/compare/{execution_id}/{execution_id}")
    assert "2 lines are the same" in tab.text("main")
    tab.open(f"{server.url}/below/it/ui/executions/{execution_id}?dir=artifacts/traces")
    link = tab.page.get_by_role("link", name="View a b.pcap").get_attribute("href")
    viewer, _, address = str(link).partition("=")
    assert viewer == "https://viewer.example/#!/?url"
    assert unquote(address).startswith(f"{server.url}/below/it/a/")
    file = tab.page.request.get(unquote(address).replace("/below/it/", "/"))
    assert (file.body(), file.headers["access-control-allow-origin"]) == (b"trace", "*")
    assert outside == []


def test_the_pages_are_accessible(scene: Scene, new_tab: OpenTab, serve: Serve) -> None:
    """Look at each page as axe does, in both themes, and for what is wider than a telephone."""
    from axe_playwright_python.sync_playwright import Axe

    files = {
        "logs/stdout.log": b"\x1b[31mred\x1b[0m \x1b[42mgreen\x1b[0m\nERROR: \x1b[2mfaint\x1b[0m\n"
        * 50,
        "logs/stderr.log": b"x" * 5000,
        "artifacts/screenshots/a.svg": SVG,
        f"artifacts/custom/{'long' * 40}.html": b"",
    }
    now = datetime.now(UTC)
    first, second = (
        scene.put_execution(
            make_id(now, number),
            files={**files, "logs/bench.log": b"door %d\n" % number},
            **ENDED | {"result": result, "artifact_status": "artifact_error"},
            test_suite="s" * 60,
            bench_id="bench-1",
            labels={"l" * 40: "v" * 80, "branch": "main"},
            failures=[{"path": "p" * 90, "error": "e" * 90}],
        )
        for number, result in enumerate(("fail", "error"))
    )
    url = f"{serve().url}/ui"
    pages = [
        f"{url}/",
        f"{url}/login",
        f"{url}/executions/{first}",
        f"{url}/executions/{first}?dir=artifacts/custom/",
        f"{url}/executions/{first}/logs/stdout",
        f"{url}/compare/{first}/{second}?log=bench",
        f"{url}/executions/01H00000000000000000000000",
    ]
    found: list[str] = []
    for width, theme in ((1280, "light"), (360, "dark")):
        tab = new_tab(width, theme)
        for page in pages:
            tab.open(page)
            if page.endswith("stdout"):
                tab.wait_for_row("ERROR")
                tab.page.keyboard.press("/")
                tab.page.keyboard.type("faint")
                tab.page.keyboard.press("Enter")
                tab.wait("() => document.querySelectorAll('.row.hit').length > 9")
            violations = Axe().run(tab.page).response["violations"]
            found += [
                json.dumps([page, theme, one["id"], [n["html"] for n in one["nodes"]][:2]])
                for one in violations
            ]
            for at in (width, 768):
                tab.page.set_viewport_size({"width": at, "height": 800})
                if tab.page.evaluate("document.documentElement.scrollWidth") > at:
                    found.append(f"{page} is wider than {at}")
            tab.page.set_viewport_size({"width": width, "height": 800})
    assert found == []
