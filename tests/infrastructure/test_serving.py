"""`deploy serve`: the systemd unit, the Kubernetes manifests and the configuration of nginx."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import urllib3

from orchestrator_cli.cli.main import cli as program
from tests.support.commands.printed import check_kubernetes, check_unit
from tests.support.commands.running import RunCommand
from tests.support.commands.serving import Serve
from tests.support.commands.via import Tokens
from tests.support.servers.certificates import Certificate

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def test_the_unit_starts_a_server_with_tokens(cli: RunCommand, bucket: str, tmp_path: Path) -> None:
    text = cli("deploy", "serve", "systemd", "--port", "9000").ok().out
    check_unit(tmp_path / "orchestrator-serve.service", text)
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string(text)
    _, name, *arguments = shlex.split(unit["Service"]["ExecStart"])
    with program.make_context("orchestrator", ["--bucket", "b-1", name, *arguments]) as context:
        command = program.get_command(context, name)
        assert command is not None
        options = command.make_context(name, arguments, parent=context).params
    assert (options["host"], options["port"]) == ("127.0.0.1", 9000)
    assert str(options["tokens"]) == "/etc/orchestrator/tokens"


def test_kubernetes_accepts_the_deployment(cli: RunCommand, bucket: str) -> None:
    arn = "arn:aws:iam::123456789012:role/reader"
    words = ("kubernetes", "--image", "r.example/o:1", "--role-arn", arn)
    account, deployment, service = check_kubernetes(cli("deploy", "serve", *words).ok().out)
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn}
    spec = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (container,) = spec["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")
    }
    assert paths == {"liveness": "/healthz", "readiness": "/readyz"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    (port,) = (one["containerPort"] for one in container["ports"])
    assert container["command"][2:6] == ["--host", "0.0.0.0", "--port", str(port)]
    # A Secret that is mounted with subPath is never updated.
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "tokens")
    assert "subPath" not in mount


def test_tokens_of_a_secret_rotate_without_a_restart(
    serve: Serve, tokens: Tokens, tmp_path: Path
) -> None:
    """The kubelet updates a Secret by swapping a link to a directory."""
    secret = tmp_path / "secret"
    for name in ("first", "second"):
        (secret / name).mkdir(parents=True)
    shutil.copy(tokens.file, secret / "first/tokens")
    (secret / "..data").symlink_to("first")
    (secret / "tokens").symlink_to("..data/tokens")
    server = serve("--tokens", str(secret / "tokens"))

    def status(token: str) -> int:
        return server.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status

    assert status(tokens.read) == 200
    fresh = tokens.make("fresh")
    lines = tokens.file.read_text().splitlines(keepends=True)
    (secret / "second/tokens").write_text(lines[-1])
    (secret / "..new").symlink_to("second")
    (secret / "..new").rename(secret / "..data")
    assert (status(tokens.read), status(fresh)) == (401, 200)
    assert server.get("/readyz").status == 200


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_gives_the_server_tls_and_limits(
    cli: RunCommand, serve: Serve, tokens: Tokens, certificate: Certificate, tmp_path: Path
) -> None:
    server = serve("--tokens", str(tokens.file))
    options = ("nginx", "--server-name", "localhost", "--port", str(server.port))
    site = cli("deploy", "serve", *options).ok().out
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "  listen [::]:443 ssl;\n": "",
        "/etc/nginx/tls/localhost.crt": str(certificate.file),
        "/etc/nginx/tls/localhost.key": str(certificate.file),
        "/var/log/nginx": str(tmp_path),
    }
    for ours, here in changes.items():
        assert ours in site
        site = site.replace(ours, here)
    places = "client_body proxy fastcgi uwsgi scgi"
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in places.split())
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\n{temporary}{site}}}\n"
    )
    with subprocess.Popen([str(NGINX), "-c", config], stderr=subprocess.PIPE) as nginx:
        try:
            http = urllib3.PoolManager(ssl_context=certificate.client_context(), retries=False)
            url = f"https://localhost:{port}"
            assert await_answer(http, f"{url}/healthz?secret=1") == 200
            assert http.request("GET", f"{url}/api/v1/nothing").status == 401
            page = http.request("GET", f"{url}/docs").data.decode()
            assert f"{url}" in page
            large = http.request("POST", f"{url}/x", body=b"x" * (3 << 20))
            assert large.status == 413
            seen = {http.request("GET", f"{url}/healthz").status for _ in range(400)}
            assert seen == {200, 429}
            http.clear()
        finally:
            nginx.terminate()
            assert nginx.stderr is not None
            nginx.stderr.read()
    assert "secret" not in (tmp_path / "orchestrator.log").read_text()


def await_answer(http: urllib3.PoolManager, url: str) -> int:
    deadline = time.monotonic() + 30
    while True:
        try:
            return http.request("GET", url).status
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_missing_options_are_named(cli: RunCommand, bucket: str) -> None:
    assert "--server-name" in cli("deploy", "serve", "nginx").expect(2).err
    assert "--image" in cli("deploy", "serve", "kubernetes").expect(2).err
    cli("deploy", "serve", "nginx", "--server-name", "a;b").expect(2)
