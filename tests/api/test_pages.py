"""The pages as they are served: access, requests to the storage, and content."""

from __future__ import annotations

import html
import json
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from orchestrator_cli.api.pages import assets
from tests.support.commands.serving import Serve, Server, problem
from tests.support.commands.via import Tokens
from tests.support.proxy.faults import Hold
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_metadata

ENDED: dict[str, Any] = {"status": "completed", "artifact_status": "complete"}
HOSTILE = "\"><script>window.pwned=1</script><b a='{{ 7*7 }}"


def log_in(server: Server, token: str, target: str = "", **headers: str) -> Any:
    """Send the login form."""
    sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    body = f"token={token}&next={target}".encode()
    return server.get("/ui/login", "POST", body=body, headers=sent)


def rows_of(page: str) -> list[str]:
    """Return the ids of the executions in a list."""
    return re.findall(r'<tr id="(\w{26})"', page)


def test_a_browser_logs_in_and_sees_what_its_token_allows(
    scene: Scene, serve: Serve, tokens: Tokens
) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x"})
    server = serve("--tokens", str(tokens.file))
    page = f"/ui/executions/{execution_id}/logs/stdout"
    asked = server.get(f"{page}?a=b")
    assert asked.status == 303
    target = f"executions/{execution_id}/logs/stdout%3Fa%3Db"
    assert asked.headers["location"] == f"../../../login?next={target}"
    assert server.get("/ui/").headers["location"] == "./login?next="
    problem(server.get(f"/executions/{execution_id}"), 401, "unauthenticated")
    form = server.get("/ui/login?next=//evil.example/")
    assert 'value="//evil.example/"' in form.data.decode()
    assert log_in(server, "orc_no").status == 403
    assert "for uploads only" in log_in(server, tokens.upload).data.decode()
    assert log_in(server, tokens.read, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    away = log_in(server, tokens.read, "//evil.example/")
    assert away.headers["location"] == ".///evil.example/"
    done = log_in(server, tokens.read, target)
    assert (done.status, done.headers["location"]) == (
        303,
        f"./executions/{execution_id}/logs/stdout?a=b",
    )
    cookie, _, rules = done.headers["set-cookie"].partition("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rules.split("; "))
    assert "Secure" not in rules
    # TLS ends at the load balancer. A cookie for loopback is not accepted under another name.
    outside = {"Host": "tests.example", "X-Forwarded-Proto": "https"}
    secure = log_in(server, tokens.read, **outside).headers["set-cookie"]
    assert secure.startswith("__Host-orchestrator=orc_")
    assert secure.endswith("; Secure")
    assert log_in(server, tokens.read, Host="tests.example").status == 403
    assert server.get(page, headers={"Cookie": cookie, "Host": "tests.example"}).status == 303
    seen = server.get(page, headers={"Cookie": cookie})
    assert seen.status == 200
    assert "default-src 'none'; script-src 'self'" in seen.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in seen.headers["content-security-policy"]
    assert server.get(f"/executions/{execution_id}", headers={"Cookie": cookie}).status == 200
    # Browsers send cookies by themselves, so a cookie must not allow changes.
    upload = tokens.upload
    posted = server.post(f"/executions/{execution_id}/uploads", {}, Cookie=f"orchestrator={upload}")
    problem(posted, 401, "unauthenticated")
    ended = server.get("/ui/login", headers={"Cookie": "orchestrator=orc_removed"}).data.decode()
    assert "Your login has expired" in ended
    assert "Log out" not in ended
    out = server.get("/ui/logout", "POST", headers={"Cookie": cookie})
    assert "orchestrator=; Path=/; Max-Age=0" in out.headers["set-cookie"]
    assert tokens.read not in "".join(server.log)
    # Parsing a long form would block all other requests.
    assert log_in(server, tokens.read, "&a=b" * 200_000).status == 413


def test_login_redirects_only_within_the_site(serve: Serve) -> None:
    server = serve()
    for text in (
        "",
        "executions/x?y=1&z=%20",
        "../..//evil",
        "//evil/",
        "\r\nSet-Cookie: a",
        "é 日",
    ):
        seen = log_in(server, "", quote(text, safe=""))
        assert seen.status == 303
        assert seen.headers.getlist("set-cookie") == [seen.headers["set-cookie"]]
        location = seen.headers["location"]
        assert re.fullmatch(r"\./[!-~]*", location)
        assert urljoin(f"{server.url}/ui/login", location).startswith(f"{server.url}/")


def test_a_list_takes_few_round_trips(scene: Scene, serve: Serve) -> None:
    now = datetime.now(UTC)
    ids = [
        scene.put_execution(make_id(now - timedelta(hours=number)), **ENDED) for number in range(50)
    ]
    put_metadata(scene.s3, scene.bucket, ids[1], b"no record")
    server = serve()
    lists, reads = Hold("head"), Hold("head")
    scene.recorder.inject(lists, "ListObjectsV2", times=None)
    scene.recorder.inject(reads, "GetObject", times=None)
    scene.recorder.clear()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.get, "/ui/")
        # No request of a round is answered until all of it have arrived.
        scene.recorder.wait_for(lambda seen: len(seen) == 7)
        lists.released.set()
        scene.recorder.wait_for(lambda seen: len(seen) == 7 + 26)
        reads.released.set()
        page = asked.result().data.decode()
    # Unreadable executions are listed in their place.
    assert rows_of(page) == ids
    assert page.count("is-unreadable") == 2
    assert scene.recorder.count() <= 60


def test_the_list_is_bounded_and_its_filters_are_in_the_url(scene: Scene, serve: Serve) -> None:
    now = datetime.now(UTC)
    ids = [
        scene.put_execution(
            make_id(now - timedelta(minutes=7 * number), number),
            result="fail" if number % 50 == 49 else "pass",
            test_suite=f"suite {HOSTILE}" if number == 0 else "smoke",
            labels={"branch": "main", HOSTILE[:30]: HOSTILE},
            **ENDED,
        )
        for number in range(100)
    ]
    server = serve()
    scene.recorder.clear()
    page = server.get("/ui/").data.decode()
    assert rows_of(page) == ids[:50]
    assert scene.recorder.count() <= 60
    assert len(page) < 150 * 1024
    assert "<script>" not in page
    assert "7*7" in page
    scene.recorder.clear()
    found, address, pages = [], "/ui/?result=fail,error&suite=&bench=&since=1d", 0
    while address:
        page = server.get(address).data.decode()
        assert 'value="1d"' in page
        assert 'value="fail,error" selected>fail or error<' in page
        found += rows_of(page)
        older = re.search(r'href="\./(\?[^"]*cursor[^"]*)"', page)
        address = f"/ui/{html.unescape(older[1])}" if older else ""
        pages += 1
        assert scene.recorder.count() <= 60 * pages
    assert found == [ids[49], ids[99]]
    for number in range(50):
        scene.put_execution(make_id(now, number), test_suite="running")
    scene.recorder.clear()
    running = rows_of(server.get("/ui/?suite=running").data.decode())
    assert running == [make_id(now, number) for number in range(49, 49 - len(running), -1)]
    assert len(running) > 20
    assert scene.recorder.count() <= 60
    assert server.get("/ui/?since=gestern").status == 400
    assert "gestern" not in server.get("/ui/?label=x").data.decode()
    assert server.get("/ui/executions/01H00000000000000000000000").status == 404
    assert server.get("/ui", redirect=False).headers["location"] == "./ui/"


def test_the_page_of_an_execution_is_small_and_links_everything(scene: Scene, serve: Serve) -> None:
    files = {f"artifacts/custom/deep/{number:03}.txt": b"" for number in range(130)}
    files |= {f"artifacts/screenshots/{number:03}.png": b"png" for number in range(130)}
    files |= {"artifacts/custom/<img src=x onerror=alert(1)>.html": b"<h1>", "logs/stderr.log": b""}
    files |= {"logs/stdout.log": b"one\n\x1b[31mtwo\x1b[0m\r\nthr\xffee\n"}
    execution_id = scene.put_execution(
        files=files,
        result="error",
        test_suite=HOSTILE,
        failures=[{"path": HOSTILE, "error": HOSTILE}],
        **ENDED | {"artifact_status": "artifact_error"},
    )
    scene.put_file(execution_id, "artifacts/custom/old.bin", b"x" * 9000, StorageClass="GLACIER")
    server = serve()
    scene.recorder.clear()
    address = f"/ui/executions/{execution_id}"
    page = server.get(address).data.decode()
    assert scene.recorder.count() <= 14
    assert len(page) < 150 * 1024
    assert "<script>window" not in page
    assert "one\ntwo\nthr\ufffdee" in page
    # Empty logs come last.
    assert page.index(">stdout<") < page.index(">stderr<")
    assert "files missing" in page
    seen: set[str] = set()
    todo, done = [""], set()
    while todo:
        query = todo.pop()
        done.add(query)
        page = server.get(address + query).data.decode()
        assert len(page) < 150 * 1024
        seen.update(re.findall(r'href="[./]*executions/\w+/artifacts/([^"]+)"', page))
        seen.update(re.findall(r'<img src="[./]*a/[^/]+/([^"]+)"', page))
        found = re.findall(rf'href="\./{execution_id}(\?[^"#]+)', page)
        todo += [one for one in map(html.unescape, found) if one not in done and one not in todo]
    assert len(seen) == 130 + 130 + 1 + 2
    custom = server.get(f"{address}?dir=artifacts/custom").data.decode()
    assert "restoring it takes up to" in custom
    assert "&lt;img src=x onerror=alert(1)&gt;.html" in custom


def test_stored_files_are_served_in_a_sandbox(scene: Scene, serve: Serve, tokens: Tokens) -> None:
    body = b"<script>1</script>" * 70_000
    files = {"artifacts/custom/r/index.html": body, "artifacts/screenshots/a.svg": b"<svg/>"}
    execution_id = scene.put_execution(files=files)
    other = scene.put_execution(make_id(number=1), files=files)
    server = serve("--tokens", str(tokens.file))
    bearer = {"Authorization": f"Bearer {tokens.read}"}
    page = server.get(f"/ui/executions/{execution_id}", headers=bearer).data.decode()
    (signed,) = set(re.findall(r"a/([^/\"]+)/artifacts", page))
    link = f"/a/{signed}/artifacts/custom/r/index.html"
    response = server.get(link)
    assert (response.status, response.data) == (200, body)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert server.get(f"/a/{signed}/artifacts/screenshots/a.svg").status == 200
    for bad in (
        link.replace(execution_id, other),
        link.replace(signed, signed[:-1] + ("0" if signed[-1] != "0" else "1")),
        link.replace(f".{signed.split('.')[1]}.", ".9999999999."),
        f"/a/{signed.replace('.', '')}/x",
    ):
        assert server.get(bad).status == 403
    for bad in (f"/a/{signed}/metadata.json", f"/a/{signed}/../{other}/metadata.json"):
        assert server.get(bad).status in (403, 404)
    # A replica with the same tokens has the same key.
    replica = serve("--tokens", str(tokens.file))
    assert replica.get(link).status == 200
    tokens.make("more")
    assert replica.get(link).status == 403


def test_the_api_serves_lines_searches_and_errors_of_a_log(scene: Scene, serve: Serve) -> None:
    lines = [b"%06d\n" % number for number in range(1, 300_001)]
    lines[249_999] = "ERROR: \x1b[1mno ÄNSWER\x1b[0m <b>\n".encode()
    log = b"".join(lines)
    execution_id = scene.put_execution(files={"logs/stdout.log": log})
    base = f"/executions/{execution_id}/logs/stdout"
    server = serve()

    def search(query: str) -> list[dict[str, Any]]:
        response = server.get(f"{base}/search?{query}")
        assert response.status == 200, response.data
        return [json.loads(line) for line in response.data.splitlines()]

    at = log.index(b"ERROR")
    hit = {"offset": at, "end": at + len(lines[249_999]), "line": 249_999}
    for query in ("q=no+%C3%84nswer", "q=n.+%C3%84NS&mode=regex&case=true", "mode=errors"):
        found = search(query)
        assert found[0] == {**hit, "text": "ERROR: no ÄNSWER <b>"}, query
        assert found[-1] == {"complete": True, "read": len(log), "size": len(log)}
    assert [one.get("offset") for one in search("q=00000&limit=2")] == [0, 7, None]
    assert search("q=00000&limit=2")[-1]["complete"] is False
    assert "line" not in search(f"q=ERROR&from={at - 3}")[0]
    problem(server.get(f"{base}/search?q=(&mode=regex"), 400, "usage")
    problem(server.get(f"{base}/search?q="), 400, "usage")
    assert server.get(f"{base}/lines?n=250000").json() == {"line": 250_000, "offset": at}
    problem(server.get(f"{base}/lines?n=300001"), 404, "not-found")
    # The index of a log of this size is computed, and then its parts have line numbers.
    assert server.get(f"{base}/errors").json() == {
        "known": True,
        "errors": [{"offset": at, "line": 250_000}],
        "searched_bytes": len(log),
    }
    why = f"/ui/executions/{execution_id}/why"
    place = f"../{execution_id}/logs/stdout#o={at}-{at + 1}"
    assert server.get(why).headers["location"] == place
    part = server.get(f"{base}/bytes?offset={at}&length=5")
    assert (part.data, part.headers["x-log-line"]) == (b"ERROR", "249999")
    scene.cli("index", execution_id).ok()
    other = serve()
    other.get(f"{base}/bytes?length=0")
    scene.recorder.clear()
    assert other.get(f"{base}/lines?n=250001").json()["offset"] == hit["end"]
    # With an index, one request is enough.
    assert scene.recorder.operations() == {"GetObject": 1}
    assert other.get(f"{base}/bytes?offset=-7&length=7").headers["x-log-line"] == "299999"


def test_two_executions_are_compared_side_by_side(scene: Scene, serve: Serve) -> None:
    first, second = (
        scene.put_execution(
            make_id(number=number),
            files={
                "logs/stdout.log": f"2026-01-0{number + 1}T00:00:0{number} start in 1{number} ms\n"
                f"pid {number} in /tmp/x{number}/a\nfound {number} doors <b>\n".encode(),
                "logs/stderr.log": b"same\n",
                f"artifacts/custom/{number}.txt": b"",
                "artifacts/results.json": b"{}",
            },
        )
        for number in range(2)
    )
    server = serve()
    page = server.get(f"/ui/compare/{first}/{second}").data.decode()
    differing = re.findall(r'<tr class="differs">.*?</tr>', page)
    assert len(differing) == 1
    assert "found 0 doors &lt;b&gt;" in differing[0]
    assert "found 1 doors &lt;b&gt;" in differing[0]
    assert "2 are the same, 3 differ." in page
    # The page of a failed execution links to the comparison with the last one that passed.
    now = datetime.now(UTC)
    passed, _, failed = (
        scene.put_execution(
            make_id(now - timedelta(hours=3 - number)),
            test_suite=suite,
            **{**ENDED, "result": result},
        )
        for number, (suite, result) in enumerate(
            (("door", "pass"), ("other", "pass"), ("door", "fail"))
        )
    )
    assert f'href="./{failed}/passed"' in server.get(f"/ui/executions/{failed}").data.decode()
    to = server.get(f"/ui/executions/{failed}/passed").headers["location"]
    assert to == f"../../compare/{passed}/{failed}"
    assert server.get(f"/ui/executions/{passed}/passed").status == 404
    assert (
        "1 lines are the same"
        in server.get(f"/ui/compare/{first}/{second}?log=stderr").data.decode()
    )


def test_vendored_files_match_their_checksums() -> None:
    folder = Path(assets.__file__).parent
    listed = tomllib.loads((folder / "vendored.toml").read_text(encoding="utf-8"))["file"]
    for one in listed:
        content = (folder / "static" / one["name"]).read_bytes()
        assert sha256(content).hexdigest() == one["sha256"]
        assert one["license"] == "MIT"
        assert "MIT License" in (folder / "static" / one["license_file"]).read_text("utf-8")
        assert f'VERSION = "{one["version"]}"'.encode() in content
    stored = {one.relative_to(folder / "static") for one in (folder / "static").rglob("*.*")}
    vendored = {Path(one[name]) for one in listed for name in ("name", "license_file")}
    assert {one for one in stored if one.parts[0] == "vendored"} == vendored
    for path in stored - vendored:
        text = (folder / "static" / path).read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)\w", text), path
        assert "innerHTML" not in text
