"""`orchestrator url`: links that work, and say when they really end."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_execution, put_keys
from tests.support.stored.objects import make_bucket, remove_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {
    "artifacts/custom/a b \u00fc [red]%20+&?#'\".txt": b"hostile\n",
    "artifacts/results.json": b"{}",
    "logs/stdout.log": b"\x1b[31mred\xff\n" * 200,
}
FIRSTS = ("logs/runner.log", "logs/stderr.log", "artifacts/results.json")


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_execution(files=FILES)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
    return content


def signed_seconds(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


def session(ends: datetime | str | None = None) -> dict[str, str]:
    """Return the environment of temporary credentials; without `ends` they do not say it."""
    environment = {"AWS_SESSION_TOKEN": "a-token"}
    if ends is not None:
        environment["AWS_CREDENTIAL_EXPIRATION"] = ends if isinstance(ends, str) else str(ends)
    return environment


# --- formats ---------------------------------------------------------------------------------


def test_text_is_a_url_a_line_that_fetches_the_file(cli: RunCommand, execution: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    result = cli("url", execution).ok()
    assert [fetch(line) for line in result.lines] == list(FILES.values())
    assert {signed_seconds(line) for line in result.lines} == {3600}
    expires = re.fullmatch(r"expires (\S+Z)\n", result.err)
    assert expires is not None
    late = datetime.fromisoformat(expires[1]) - before - timedelta(hours=1)
    assert timedelta(0) <= late < timedelta(seconds=30)


def test_json_is_an_object_a_line(cli: RunCommand, execution: str) -> None:
    for option in (["--format", "json"], ["--json"]):
        records = cli("url", execution, *option, "--expires-in", "90s").ok().json_lines()
        assert [record.pop("path") for record in records] == list(FILES)
        assert [fetch(record.pop("url")) for record in records] == list(FILES.values())
        assert [record.pop("size_bytes") for record in records] == list(map(len, FILES.values()))
        assert {record.pop("expires_in_seconds") for record in records} == {90}
        assert {record.pop("expiry_certain") for record in records} == {True}
        assert all(datetime.fromisoformat(record.pop("expires_at")).tzinfo for record in records)
        assert all(record == {} for record in records)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["stdout"], ["logs/stdout.log"]),
        (["logs/stdout.log"], ["logs/stdout.log"]),
        (["logs/"], ["logs/stdout.log"]),
        (["*.json", "stdout.log"], ["artifacts/results.json", "logs/stdout.log"]),
        (["artifacts"], list(FILES)[:2]),
        ([next(iter(FILES))], list(FILES)[:1]),
        (["*", "stdout"], list(FILES)),
    ],
)
def test_patterns_choose(
    cli: RunCommand, execution: str, patterns: list[str], expected: list[str]
) -> None:
    records = cli("url", execution, *patterns, "--json").ok().json_lines()
    assert [record["path"] for record in records] == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("artifacts/custom/a?b", ["artifacts/custom/a?b"]),
        ("a?b", ["artifacts/custom/a?b"]),
        ("*", ["artifacts/custom/*"]),
        ("[x].log", ["artifacts/custom/[x].log"]),
        ("sub", ["artifacts/custom/sub"]),
        ("artifacts/custom/sub", ["artifacts/custom/sub"]),
        ("artifacts/custom/sub/", ["artifacts/custom/sub/a"]),
        ("artifacts/custom/a?[b-d]", ["artifacts/custom/a?b", "artifacts/custom/axb"]),
        ("*x*", ["artifacts/custom/[x].log", "artifacts/custom/axb", "artifacts/custom/x.log"]),
    ],
)
def test_an_exact_name_wins_over_a_glob(scene: Scene, pattern: str, expected: list[str]) -> None:
    names = ["a?b", "axb", "*", "[x].log", "x.log", "sub", "sub/a"]
    files = {f"artifacts/custom/{name}": b"x" for name in names}
    execution_id = scene.put_execution(files=files)
    listed = scene.cli("url", execution_id, pattern, "--json").ok().json_lines()
    assert [record["path"] for record in listed] == expected
    fetched = (
        scene.cli("download", execution_id, pattern, "--json", "-o", scene.directory)
        .ok()
        .json_lines()
    )
    assert sorted(record["path"] for record in fetched) == expected
    # What else is asked for is given as well, and nothing twice.
    more = scene.cli("url", execution_id, pattern, "*.log", pattern, "--json").ok().json_lines()
    assert [record["path"] for record in more] == sorted(
        {*expected, "artifacts/custom/[x].log", "artifacts/custom/x.log"}
    )


def test_a_name_costs_no_listing_of_all_files(scene: Scene, execution: str) -> None:
    scene.cli("url", execution, "stdout", "artifacts/results.json").ok()
    asked = [call.request.query.get("max-keys") for call in scene.recorder.calls()]
    assert set(asked) == {"1"}


def test_the_id_may_come_from_the_environment(cli: RunCommand, execution: str) -> None:
    environment = {"ORCHESTRATOR_EXECUTION_ID": execution.lower()}
    assert len(cli("url", env=environment).ok().lines) == 3
    assert fetch(cli("url", "stdout", env=environment).ok().out.strip()).startswith(b"\x1b[31m")


HOSTILE = [
    "artifacts/custom/[x](http:evil)!|<b>`*_~#&@ünï.txt",
    "artifacts/custom/]({noformat}^+-?\\",
    "artifacts/custom/\u202egpj.exe",
]


def test_markdown_names_are_only_names(scene: Scene) -> None:
    execution_id = scene.put_execution(files=dict.fromkeys(HOSTILE, b"x" * 2048))
    lines = scene.cli("url", execution_id, "--format", "markdown").ok().lines
    matches = [
        re.fullmatch(r"- \[((?:[^\\\[\]]|\\.)*)\]\(<([^<>]+)>\) \(2.0 KiB, expires \S+Z\)", line)
        for line in lines
    ]
    names = [re.sub(r"\\(.)", r"\1", match[1]) for match in matches if match]
    assert names == [name.replace("\u202e", "\\u202e") for name in HOSTILE]
    assert [fetch(match[2]) for match in matches if match] == [b"x" * 2048] * 3
    assert all(re.search(rf"(?<!\\){re.escape(one)}", lines[0][3:60]) is None for one in "`*_<#@!|")


def test_jira_names_are_only_names(scene: Scene) -> None:
    execution_id = scene.put_execution(files=dict.fromkeys(HOSTILE, b"x"))
    lines = scene.cli("url", execution_id, "--format", "jira").ok().lines
    matches = [
        re.fullmatch(r"\* \[((?:[^\\|\[\]{}]|\\.)*)\|([^|\]]+)\] \(1 B, expires \S+Z\)", line)
        for line in lines
    ]
    names = [re.sub(r"\\(.)", r"\1", match[1]) for match in matches if match]
    assert names == [name.replace("\u202e", "\\u202e") for name in HOSTILE]
    assert [fetch(match[2]) for match in matches if match] == [b"x"] * 3


@pytest.fixture(scope="module")
def crowded(s3: S3Client) -> Iterator[tuple[str, str]]:
    """A bucket with an execution of 1,200 files, which is more than a listing holds."""
    bucket = make_bucket(s3)
    execution_id = put_execution(s3, bucket, files=dict.fromkeys(FIRSTS, b"x"))
    folder = f"executions/{execution_id}/artifacts/custom"
    put_keys(s3, bucket, (f"{folder}/{number:04}.txt" for number in range(1197)))
    yield bucket, execution_id
    remove_bucket(s3, bucket)


@pytest.mark.parametrize(
    ("style", "more"),
    [
        ("markdown", "- and 1,180 more, see `orchestrator url {}`"),
        ("jira", "* and 1,180 more, see {{{{orchestrator url {}}}}}"),
    ],
)
def test_a_comment_about_thousands_of_files_has_a_sane_length(
    scene: Scene, crowded: tuple[str, str], style: str, more: str
) -> None:
    bucket, execution_id = crowded
    url = ("--bucket", bucket, "url", execution_id)
    result = scene.cli(*url, "--format", style, "--limit", "20").ok()
    assert [name in line for name, line in zip(FIRSTS, result.lines, strict=False)] == [True] * 3
    assert len(result.lines) == 21
    assert result.lines[-1] == more.format(execution_id)
    default = scene.cli(*url, "--format", style).ok()
    # What a comment on GitHub may have.
    assert len(default.out) < 65_536
    assert len(default.lines) == 26
    assert len(scene.cli(*url, "--format", style, "--limit", "0").ok().lines) == 1200
    assert len(scene.cli(*url).ok().lines) == 1200


# --- what a browser makes of it --------------------------------------------------------------

HTML = b"<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("path", "content_type", "is_shown"),
    [
        ("logs/stdout.log", "text/plain; charset=utf-8", True),
        ("artifacts/custom/var/syslog", "text/plain; charset=utf-8", True),
        ("artifacts/results.json", "application/json", True),
        ("artifacts/screenshots/a.png", "image/png", True),
        ("artifacts/screenshots/a.svg", "image/svg+xml", False),
        ("artifacts/custom/report.html", "text/html; charset=utf-8", False),
        ("artifacts/coverage.xml", "application/xml", False),
        ("artifacts/custom/a.js", "text/javascript; charset=utf-8", False),
        ("artifacts/custom/core", "application/octet-stream", False),
    ],
)
def test_a_link_states_the_type_of_the_name_whatever_was_stored(
    scene: Scene, path: str, content_type: str, is_shown: bool
) -> None:
    execution_id = scene.put_execution()
    scene.put_file(execution_id, path, HTML, ContentType="text/html")
    for option, shown in ([], is_shown), (["--inline"], True):
        link = scene.cli("url", execution_id, path, *option).ok().out.strip()
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.read() == HTML
            assert answer.headers["content-type"] == content_type
            assert answer.headers["content-disposition"] == ("inline" if shown else "attachment")


# --- when it ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("1h30m", 5400), ("7d", 604_800)])
def test_a_url_is_valid_for_as_long_as_asked(
    cli: RunCommand, execution: str, text: str, seconds: int
) -> None:
    result = cli("url", execution, "stdout", "--expires-in", text).ok()
    assert signed_seconds(result.out) == seconds


@pytest.mark.parametrize("text", ["604801s", "8d", "0s", "5ms", "1y", "-1h", "99999999999d"])
def test_what_s3_would_not_sign_is_a_usage_error(
    cli: RunCommand, execution: str, text: str
) -> None:
    result = cli("url", execution, "stdout", f"--expires-in={text}").expect(2)
    assert result.stdout == b""
    assert "7 days" in result.err or "is not a duration" in result.err or "too long" in result.err


def test_credentials_that_end_first_shorten_it_and_say_so(cli: RunCommand, execution: str) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=30)).replace(microsecond=0)
    result = cli("url", execution, "stdout", "--json", env=session(ends)).ok()
    record = result.json()
    assert result.err == f"warning: the credentials end early: expires {record['expires_at']}\n"
    # Whole seconds, never promising too much.
    early = ends - datetime.fromisoformat(record["expires_at"])
    assert timedelta(0) <= early <= timedelta(seconds=1)
    assert 1700 < record["expires_in_seconds"] <= 1800
    assert signed_seconds(record["url"]) == record["expires_in_seconds"]
    quiet = cli("--quiet", "url", execution, "stdout", env=session(ends)).ok()
    assert quiet.err.startswith("warning: the credentials end early")


def test_credentials_that_last_are_no_matter(cli: RunCommand, execution: str) -> None:
    environment = session(datetime.now(UTC) + timedelta(hours=6))
    result = cli("url", execution, "stdout", "--require-ttl", env=environment).ok()
    assert signed_seconds(result.out) == 3600
    assert "warning" not in result.err


def test_credentials_that_do_not_say_when_they_end_are_warned_of(
    cli: RunCommand, execution: str
) -> None:
    result = cli("url", execution, "stdout", env=session()).ok()
    assert re.fullmatch(
        r"warning: the credentials are temporary; expires \S+Z or when they end\n", result.err
    )
    # Whoever gets the link on sees the doubt too.
    assert not cli("url", execution, "stdout", "--json", env=session()).json()["expiry_certain"]
    for style in ("markdown", "jira"):
        link = cli("url", execution, "stdout", "--format", style, env=session()).ok().out
        assert re.search(r"expires \S+Z or earlier, when its credentials end\)$", link.strip())
    refused = cli("url", execution, "stdout", "--require-ttl", env=session()).expect(5)
    assert refused.stdout == b""
    assert "AWS_CREDENTIAL_EXPIRATION" in refused.err


def test_required_time_that_the_credentials_lack_is_an_error(
    cli: RunCommand, execution: str
) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=30)).replace(microsecond=0)
    arguments = ("url", execution, "stdout", "--require-ttl", "--expires-in")
    result = cli(*arguments, "1h", env=session(ends)).expect(5)
    assert result.stdout == b""
    assert "the credentials end before the URL should" in result.err
    assert "a shorter --expires-in" in result.err
    assert signed_seconds(cli(*arguments, "20m", env=session(ends)).ok().out) == 1200


def test_credentials_that_have_ended_are_refused(cli: RunCommand, execution: str) -> None:
    result = cli("url", execution, env=session("2020-01-01T00:00:00Z")).expect(5)
    assert result.stdout == b""
    assert "expired" in result.err


class TokenService(BaseHTTPRequestHandler):
    """Exchanges a CI job's token for a role's credentials, which end in half an hour."""

    def do_POST(self) -> None:
        ends = datetime.now(UTC) + timedelta(minutes=30)
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>role</AccessKeyId>"
            "<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
            f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep the tests' output clean."""


@pytest.fixture
def role(tmp_path: Path) -> Iterator[dict[str, str | None]]:
    """The environment of a CI job that takes a role; nothing is fetched before it is needed."""
    token = tmp_path / "token"
    token.write_text("a-token")
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenService) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/ci",
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{server.server_port}",
        }
        server.shutdown()


def test_a_roles_credentials_say_when_they_end(
    cli: RunCommand, execution: str, role: dict[str, str | None]
) -> None:
    result = cli("url", execution, "stdout", "--json", env=role).ok()
    assert "warning: the credentials end early: expires " in result.err
    assert 1700 < result.json()["expires_in_seconds"] <= 1800
    cli("url", execution, "stdout", "--expires-in", "20m", "--require-ttl", env=role).ok()
    cli("url", execution, "stdout", "--require-ttl", env=role).expect(5)


# --- errors ----------------------------------------------------------------------------------


def test_a_pattern_of_nothing_prints_no_url(cli: RunCommand, execution: str) -> None:
    result = cli("url", execution, "stdout", "*.png", "bad\x1b[31m").expect(4)
    assert result.stdout == b""
    assert f"no such file in {execution}: *.png, bad\\x1b[31m" in result.err


def test_a_missing_execution_and_a_missing_bucket_are_named(scene: Scene) -> None:
    assert "no such execution" in scene.cli("url", make_id()).expect(4).err
    assert (
        "no such bucket"
        in scene.cli("--bucket", f"{scene.bucket}-gone", "url", make_id()).expect(4).err
    )


def test_an_archived_file_has_to_be_restored(scene: Scene, execution: str) -> None:
    path = "artifacts/custom/old.bin"
    key = scene.put_file(execution, path, b"old", StorageClass="DEEP_ARCHIVE")
    result = scene.cli("url", execution, path).expect(8)
    assert result.stdout == b""
    assert f"{path} is archived in DEEP_ARCHIVE" in result.err
    assert "restore" in result.err
    scene.s3.restore_object(Bucket=scene.bucket, Key=key, RestoreRequest={"Days": 1})
    assert fetch(scene.cli("url", execution, path).ok().out.strip()) == b"old"


def test_signing_sends_nothing_but_the_listing(scene: Scene, execution: str) -> None:
    stored = scene.contents()
    result = scene.cli("url", execution).ok()
    assert scene.recorder.operations() == {"ListObjectsV2": 1}
    assert scene.contents() == stored
    # Nothing that reads the file without credentials goes anywhere but to standard output.
    assert "X-Amz" not in result.err
    with pytest.raises(urllib.error.HTTPError, match=r"40[34]") as refused:
        fetch(result.lines[0].replace("/artifacts/", "/artifact/"))
    refused.value.close()


def test_json_lines_stay_lines(scene: Scene) -> None:
    name = "artifacts/custom/\u2028\u202e.txt"
    execution_id = scene.put_execution(files={name: b"x"})
    result = scene.cli("url", execution_id, "--json").ok()
    assert result.out.isascii()
    assert json.loads(result.out)["path"] == name
