"""The log viewer: logs that no browser holds, lines that no screen holds, and all by keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import OpenTab, Tab
from tests.browser.static_store import BUCKET, LINE_BYTES, StaticStore, huge_log, serving_store
from tests.support.commands.running import Processes
from tests.support.commands.serving import Serve, Server
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, make_record

pytestmark = pytest.mark.browser
MIB = 1024**2
ENDED: dict[str, Any] = {"status": "completed", "artifact_status": "complete", "result": "pass"}

OWN_COLOUR = "(one) => one.style.getPropertyValue('--own-fg')"
SELECTED = "(text) => document.querySelector('.row.selected')?.textContent.includes(text)"


def open_log(
    tab: Tab, server: Server, execution_id: str, hash_: str = "", log: str = "stdout"
) -> None:
    tab.page.goto(f"{server.url}/ui/executions/{execution_id}/logs/{log}{hash_}")
    tab.wait("() => document.querySelectorAll('.row').length > 0")
    tab.page.wait_for_load_state("networkidle")


def memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_log_of_5_gib_opens_anywhere_fast(
    new_tab: OpenTab, serve: Serve, s3env: dict[str, str]
) -> None:
    execution_id, size = make_id(), 5 * 1024 * MIB
    root = f"executions/{execution_id}/"
    record = json.dumps(make_record(execution_id, **ENDED)).encode()
    huge = StaticStore({f"{root}metadata.json": record, f"{root}logs/stdout.log": huge_log(size)})
    with serving_store(huge) as endpoint:
        server = serve(env={"AWS_ENDPOINT_URL": endpoint, "ORCHESTRATOR_BUCKET": BUCKET})
        server.get("/ui/")
        before = memory_bytes(server.process.pid)
        tab = new_tab()
        open_log(tab, server, execution_id)
        last = size // LINE_BYTES
        tab.wait_for_row(f"line {last} of")
        assert f"line {last} of" in tab.rows()[-1]
        assert sum(end - start for start, end in huge.ranges) < 2 * MIB
        assert tab.seen.received_bytes < 2 * MIB
        assert tab.page.locator(".row").count() <= 300
        # A link to some bytes in the middle, in a tab of its own.
        huge.ranges.clear()
        middle = size // 2
        other = new_tab()
        open_log(other, server, execution_id, f"#o={middle}-{middle + LINE_BYTES}")
        other.wait_for_row(f"line {middle // LINE_BYTES + 1} of")
        assert f"line {middle // LINE_BYTES + 1} of" in other.text(".row.selected code")
        assert len(huge.ranges) <= 3
        parts = [url for url in other.seen.urls if "/bytes?" in url and "length=0" not in url]
        assert len(parts) <= 3
        # The scroll bar stands for the whole log, however far it is moved.
        other.page.evaluate("document.getElementById('proxy').scrollTop = 0")
        other.wait_for_row("line 1 of")
        for _ in range(30):
            other.page.keyboard.press("PageDown")
        other.page.wait_for_load_state("networkidle")
        assert other.page.locator(".row").count() <= 301
        other.page.evaluate(
            """() => { const bar = document.getElementById('proxy');
               bar.scrollTop = bar.scrollHeight / 4 }"""
        )
        other.wait(
            """() => { const row = document.querySelector('.row code');
               return row && Number(row.textContent.split(' ')[1]) > 10000000 }"""
        )
        # A search is given up when the page is left.
        other.page.keyboard.press("/")
        other.page.keyboard.type("nowhere to be found")
        other.page.keyboard.press("Enter")
        other.wait("() => document.getElementById('status').textContent.includes('searching')")
        other.page.goto("about:blank")
        seen = -1
        deadline = time.monotonic() + 20
        while len(huge.ranges) != seen and time.monotonic() < deadline:
            seen = len(huge.ranges)
            tab.page.wait_for_timeout(1500)
        assert len(huge.ranges) == seen
        assert sum(end - start for start, end in huge.ranges) < size / 2
        assert memory_bytes(server.process.pid) - before < 64 * MIB


def test_lines_of_any_length_and_content_are_shown(
    scene: Scene, new_tab: OpenTab, serve: Serve
) -> None:
    border = 256 * 1024
    ordinary = b"".join(b"%07d\n" % number for number in range(100_000))
    log = b"first\n" + b"x" * 20_000_000 + b"END\n"
    log += b"10%\r50%\r100%\ncrlf\r\nnul \x00 bell \x07 \xff\xfe\n"
    log += b"\x1b]8;;https://example.org/x\x1b\\link\x1b]8;;\x1b\\ \x1b]0;title\x07after\n"
    log += b"rtl \xe2\x80\xae txt\n\x1b[38;5;208morange\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[0m"
    log += b" \x1b[38:2::4:5:6mcolons\x1b[0m \x1b[9;4:3mstruck\x1b[29;4:0m|\b/\b-\bspun\x1b[0m"
    log += b" \x1b[7;31mswapped\x1b[0m \x1b[38;5;7;7minverse\x1b[27;39mnot\n"
    colours = ordinary[: border - 10 - 8 * 40] + b"\x1b[31mred begins\n"
    colours += b"still red\n" * 60 + b"\x1b[0mplain\n"
    cut = ordinary[: border - 9] + "ends in an ä\n".encode()[-9:] + "äöü€\n".encode() * 90_000
    files = {"logs/stdout.log": log, "logs/stderr.log": colours, "logs/bench.log": cut}
    execution_id = scene.put_execution(files=files, **ENDED)
    server, tab = serve(), new_tab()
    open_log(tab, server, execution_id)
    tab.wait_for_row("orange")
    rows = tab.rows()
    for expected in ("100%", "crlf", "nul ␀ bell ␇ \ufffd\ufffd", "link after", "rtl \ufffd txt"):
        assert expected in rows
    link = tab.page.locator(".row code a")
    assert (link.get_attribute("href"), link.inner_text()) == ("https://example.org/x", "link")
    true = tab.page.get_by_text("true", exact=True)
    assert true.evaluate(OWN_COLOUR) == "rgb(1,2,3)"
    colons = tab.page.get_by_text("colons", exact=True)
    assert colons.evaluate(OWN_COLOUR) == "rgb(4,5,6)"
    struck = tab.page.get_by_text("struck", exact=True)
    assert struck.get_attribute("class") == "ansi-underline ansi-strike"
    assert any("struckspun swapped" in row for row in rows)
    swapped = tab.page.get_by_text("swapped", exact=True)
    assert swapped.get_attribute("class") == "ansi-red-bg"
    assert tab.page.get_by_text("inverse", exact=True).get_attribute("class") == "ansi-white-bg"
    tab.page.keyboard.press("Home")
    tab.wait_for_row("first")
    longest = tab.page.evaluate(
        """Math.max(...[...document.querySelectorAll('.row code')]
           .map((one) => one.textContent.length))"""
    )
    assert longest <= 16 * 1024
    for _ in range(10):
        tab.page.keyboard.press("PageDown")
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.locator(".row").count() <= 301
    open_log(tab, server, execution_id, f"#o={border}-{border + 5}", "stderr")
    tab.wait_for_row("still red")
    reds = "(all) => all.filter((one) => one.querySelector('.ansi-red-fg')).length"
    shown = tab.page.locator(".row code", has_text="still red")
    assert shown.evaluate_all(reds) == shown.count() > 20
    plain = tab.page.locator(".row code", has_text="plain")
    assert plain.evaluate_all(reds) == 0
    open_log(tab, server, execution_id, f"#o={border}-{border + 5}", "bench")
    tab.wait_for_row("äöü€")
    assert not any("\ufffd" in row for row in tab.rows())
    assert tab.seen.problems == []


def test_the_first_error_is_found_by_keyboard(scene: Scene, new_tab: OpenTab, serve: Serve) -> None:
    lines = [b"%07d `tick`\n" % number for number in range(60_000)]
    lines[30_000] = b"\x1b[31mERROR\x1b[0m: the ```door``` is shut\n"
    lines[50_000] = b"AssertionError: 91 == 100\n"
    execution_id = scene.put_execution(
        files={"logs/stdout.log": b"".join(lines)}, **ENDED | {"result": "fail"}
    )
    server = serve()
    tab = new_tab(permissions=["clipboard-read", "clipboard-write"])
    for page, link in (("", "first error"), (f"executions/{execution_id}", "stdout")):
        # From the list it is one step; a log opens at its first error, too.
        tab.page.goto(f"{server.url}/ui/{page}")
        for _ in range(50):
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate("document.activeElement.textContent") == link:
                break
        tab.page.keyboard.press("Enter")
        tab.wait(SELECTED, "the ```door```")
    assert tab.text(".row.selected .gutter") == "30001"
    tab.page.keyboard.press("n")
    tab.wait(SELECTED, "91 == 100")
    tab.page.keyboard.press("p")
    tab.wait(SELECTED, "the ```door```")
    tab.page.keyboard.press("J")
    tab.wait("() => document.querySelectorAll('.row.selected').length === 2")
    tab.page.keyboard.press("c")
    tab.wait("() => document.getElementById('status').textContent.includes('copied')")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    start = len(b"".join(lines[:30_000]))
    end = start + len(lines[30_000]) + len(lines[30_001])
    address = f"{server.url}/ui/executions/{execution_id}/logs/stdout#o={start}-{end}"
    text = "ERROR: the ```door``` is shut\n0030001 `tick`"
    assert copied == f"[stdout of {execution_id}]({address})\n````\n{text}\n````\n"
    # Across the border of what the server reads at once, and by line number.
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("0045000")
    tab.page.keyboard.press("Enter")
    tab.wait("() => document.querySelector('.row.hit')?.textContent.includes('0045000')")
    tab.wait("() => document.getElementById('status').textContent.includes('1 found')")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("End")
    tab.wait_for_row("0059999")
    tab.page.keyboard.press("Home")
    tab.wait_for_row("0000000")
    tab.page.evaluate("location.hash = '#L55000'")
    tab.wait(SELECTED, "0054999")
    assert tab.seen.problems == []


def test_a_slow_or_unavailable_storage_is_waited_for(
    scene: Scene, new_tab: OpenTab, serve: Serve
) -> None:
    from tests.support.proxy.faults import Answer

    log = b"".join(b"%07d\n" % number for number in range(700_000))
    files = {"logs/stdout.log": log}
    execution_id = scene.put_execution(files=files, **ENDED)
    key = f"executions/{execution_id}/logs/stderr.log"
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"x" * 5000, StorageClass="DEEP_ARCHIVE")
    tail = f"derived/{execution_id}/tail/stderr.log"
    scene.s3.put_object(Bucket=scene.bucket, Key=tail, Body=b"how it ended")
    server, tab = serve(), new_tab()
    open_log(tab, server, execution_id)
    tab.wait_for_row("0699999")
    scene.recorder.inject(Answer(403, "AccessDenied"), operation="GetObject", key="stdout", times=2)
    tab.page.keyboard.press("Home")
    tab.wait("() => document.getElementById('status').textContent.includes('trying again')")
    tab.wait_for_row("0000000")
    assert "trying again" not in tab.text("#status")
    tab.page.goto(f"{server.url}/ui/executions/{execution_id}/logs/stderr")
    assert "to restore it takes" in tab.text("main")
    assert "how it ended" in tab.text("pre")


def test_a_running_test_is_followed_to_its_end(
    new_tab: OpenTab, serve: Serve, cli_process: Processes, bucket: str
) -> None:
    script = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit 3"
    run = cli_process.start("run", "--live", "1s", "--", "sh", "-c", script)
    assert run.stderr is not None
    execution_id = run.stderr.readline().decode().split()[-1]
    server, tab = serve(), new_tab()
    page = f"{server.url}/ui/executions/{execution_id}"
    tab.page.goto(f"{server.url}/ui/")
    assert "running" in tab.text(f'[id="{execution_id}"]')
    # The first lines are stored within a second or two.
    while server.get(f"/executions/{execution_id}/logs/stdout/bytes").status == 404:
        tab.page.wait_for_timeout(200)
    tab.page.goto(page)
    assert "being written" in tab.text(".log")
    tab.page.get_by_role("link", name="stdout", exact=True).click()
    tab.wait_for_row("line 20")
    assert "running" in tab.text("#status")
    assert tab.page.locator(".row.selected").count() == 0
    # A link made now is right when the test has ended.
    tab.page.keyboard.press("j")
    link = tab.page.url
    assert "#o=" in link
    tab.wait_for_row("line 60")
    assert run.wait(30) == 3
    tab.wait("() => document.getElementById('status').textContent.includes('has ended')")
    texts = tab.page.locator(".row code").all_inner_texts()
    assert [text for text in texts if text] == [f"line {number + 1}" for number in range(60)]
    chosen = tab.text(".row.selected code")
    other = new_tab()
    other.page.goto(link)
    other.wait(SELECTED, chosen)
    assert tab.seen.problems == []


def test_a_link_across_a_fold_leads_on_and_a_stray_escape_hides_nothing(
    scene: Scene, new_tab: OpenTab, serve: Serve
) -> None:
    address = "https://example.org/" + "p" * 200
    log = b"x" * (8 * 1024 - 100) + f"\x1b]8;;{address}\x1b\\".encode() + b"link\x1b]8;;\x1b\\\n"
    log += "\x1b[12é shown\n".encode() + b"\x1b]0;a title without end\n" + b"\x1bP the last\n"
    execution_id = scene.put_execution(files={"logs/stdout.log": log}, **ENDED)
    server, tab = serve(), new_tab()
    open_log(tab, server, execution_id)
    tab.wait_for_row("last")
    link = tab.page.locator(".row code a")
    assert (link.get_attribute("href"), link.inner_text()) == (address, "link")
    texts = tab.page.locator(".row code").all_inner_texts()
    assert texts[-3:] == ["[12é shown", "]0;a title without end", "P the last"]
    assert tab.seen.problems == []
