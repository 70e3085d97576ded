"""`--metrics-push` and `--metrics-otlp`: servers that are away, slow or wrong."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass

import pytest

from tests.support.commands.running import NewUpload, Processes, RunCommand
from tests.support.commands.secrets import check_no_secrets
from tests.support.scene import Scene
from tests.support.servers.certificates import make_certificate
from tests.support.servers.receiving import Answer, Receiver, dripping, receiving

SECRET = "correct-horse-battery"


@dataclass(frozen=True)
class Kind:
    """One of the options, what its server is called, and which module sends to it."""

    option: str
    what: str
    module: str

    def hurry(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        monkeypatch.setattr(f"orchestrator_cli.core.metrics.{self.module}.SEND_SECONDS", seconds)


KINDS = (
    Kind("--metrics-push", "the Pushgateway", "pushgateway"),
    Kind("--metrics-otlp", "the OTLP receiver", "otlp"),
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.module)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(500), "answered 500"),
        (Answer(400, body=f"what is {SECRET}?".encode()), "answered 400"),
        (Answer(401), "answered 401"),
        (Answer(302, {"Location": "/elsewhere"}), "answered 302: a redirect is not followed"),
        (Answer(200, {"Content-Type": "text/html"}, b"<html>"), "answered a web page"),
        (Answer(hangs=True), "no answer in "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_takes_nothing_is_a_warning(
    cli: RunCommand,
    new_upload: NewUpload,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    answer: Answer,
    words: str,
) -> None:
    kind.hurry(monkeypatch, 1.0)
    receiver.answer = answer
    url = f"http://bench:{SECRET}@{receiver.netloc}"
    result = cli("-v", "--debug", *new_upload(kind.option, url)).ok()
    assert f"warning: metrics: {kind.what} at {receiver.url}: {words}" in result.err
    assert result.err.count("metrics") == 1
    check_no_secrets(result, SECRET)
    assert {pushed.path.count("/elsewhere") for pushed in receiver.pushed} == {0}


def test_a_server_that_is_away_is_a_warning(
    cli: RunCommand, new_upload: NewUpload, closed_port: int, kind: Kind
) -> None:
    url = f"http://bench:{SECRET}@127.0.0.1:{closed_port}"
    began = time.monotonic()
    result = cli("-v", "--debug", *new_upload(kind.option, url)).ok()
    assert time.monotonic() - began < 20
    words = f"{kind.what} at http://127.0.0.1:{closed_port}: connection refused"
    assert f"warning: metrics: {words}" in result.err
    check_no_secrets(result, SECRET)


def test_a_server_that_hangs_costs_a_run_seconds_and_not_its_code(
    cli_process: Processes, bucket: str, receiver: Receiver, kind: Kind
) -> None:
    receiver.answer = Answer(hangs=True)
    process = cli_process.start("run", kind.option, receiver.url, "--", "sh", "-c", "exit 7")
    receiver.wait_for(1)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert 3 < time.monotonic() - began < 20
    assert f"metrics: {kind.what} at {receiver.url}: no answer in " in err.decode()


def test_a_server_is_left_when_its_time_is_up(
    cli: RunCommand, new_upload: NewUpload, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """Each piece of the answer comes in time, the whole never."""
    kind.hurry(monkeypatch, 1.0)
    with dripping() as url:
        began = time.monotonic()
        result = cli(*new_upload(kind.option, url)).ok()
        assert time.monotonic() - began < 20
    assert "no answer in " in result.err


def test_one_that_hangs_keeps_nothing_from_the_other(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as hanging:
        hanging.answer = Answer(hangs=True)
        for kind, other in (KINDS, reversed(KINDS)):
            kind.hurry(monkeypatch, 0.5)
            before = len(receiver.pushed)
            line = new_upload(kind.option, hanging.url, other.option, receiver.url)
            assert "no answer" in cli(*line).ok().err
            assert len(receiver.pushed) == before + 1


def test_user_and_password_go_to_the_server_only(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, kind: Kind
) -> None:
    with receiving() as elsewhere:
        receiver.answer = Answer(307, {"Location": elsewhere.url})
        password = SECRET.replace("-", "%2D")
        url = f"http://bench:{password}@{receiver.netloc}/"
        result = cli("-v", *new_upload(kind.option, url)).ok()
        assert not elsewhere.pushed
    pair = b64encode(f"bench:{SECRET}".encode()).decode()
    assert receiver.pushed[0].headers["authorization"] == f"Basic {pair}"
    check_no_secrets(result, SECRET, password, pair)


def test_a_private_ca_is_trusted_where_it_is_named(
    cli: RunCommand,
    new_upload: NewUpload,
    tmp_path_factory: pytest.TempPathFactory,
    kind: Kind,
) -> None:
    certificate = make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")
    with receiving(certificate) as server:
        line = new_upload(kind.option, server.url)
        result = cli(*line).ok()
        assert "is not trusted" in result.err
        assert "; for a private CA set" in result.err
        assert not server.pushed
        assert "warning" not in cli(*line, env={"AWS_CA_BUNDLE": str(certificate)}).ok().err
        assert len(server.pushed) == 1
        gone = cli(*line, env={"AWS_CA_BUNDLE": "/nowhere.pem"}).expect(2)
        assert "AWS_CA_BUNDLE: cannot read /nowhere.pem" in gone.err


def test_a_proxy_is_used_and_an_open_password_is_told(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, kind: Kind
) -> None:
    env = {"HTTP_PROXY": receiver.url, "NO_PROXY": "127.0.0.1"}
    url = f"http://bench:{SECRET}@metrics.example.test:4318"
    result = cli(*new_upload(kind.option, url), env=env).ok()
    # A request to a proxy has the whole URL.
    assert receiver.pushed[0].path.startswith("http://metrics.example.test:4318/")
    assert f"warning: {kind.option}: the password goes over plain HTTP" in result.err
    check_no_secrets(result, SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://bench:{}@host",
        "bench:{}",
        "http://bench:{}@",
        "http://bench:a/{}@host",
        "http://bench:{}@host:port",
        "http://host:{}",
        "http://bench:{}@host?token=x",
        "http://host?token={}",
        "http://host/#{}",
        "http://bench:{}é@host",
        "http://bench: {}@host",
        "http://[{}",
    ],
)
def test_a_url_that_cannot_be_used_is_told_before_anything_is_sent(
    scene: Scene, kind: Kind, url: str
) -> None:
    before = scene.recorder.count()
    line = ("--debug", "upload", "@latest", ".", kind.option, url.format(SECRET))
    result = scene.cli(*line).expect(2)
    assert f"error: {kind.option}: " in result.err
    check_no_secrets(result, SECRET)
    assert scene.recorder.count() == before
