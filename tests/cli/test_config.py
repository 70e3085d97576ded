"""`orchestrator config show`: every setting, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.commands.running import RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.scene import Scene


def test_each_setting_says_where_it_comes_from(scene: Scene) -> None:
    config = scene.directory / "c.toml"
    config.write_text(
        'color = "never"\n[upload]\nlimit-rate = "5M"\n[lifecycle.apply]\nstrict = true\n'
    )
    env = {"ORCHESTRATOR_VIA_TOKEN": "s3cret", "ORCHESTRATOR_LS_LIMIT": "5"}
    given = ("--config", config, "--profile", "p")
    result = scene.cli(*given, "config", "show", "--json", "-v", env=env).ok()
    shown = {name: (one["value"], one["origin"]) for name, one in result.json().items()}
    assert shown["bucket"] == (scene.bucket, "ORCHESTRATOR_BUCKET")
    assert shown["profile"] == ("p", "--profile")
    assert shown["region"] == ("us-east-1", "AWS_REGION")
    assert shown["endpoint-url"] == (scene.recorder.endpoint_url, "AWS_ENDPOINT_URL")
    assert shown["color"] == ("never", str(config))
    assert shown["verbose"] == ("on", "--verbose")
    assert shown["quiet"] == ("off", "default")
    assert shown["config"] == (str(config), "--config")
    assert shown["credentials"] == ("profile p", "AWS")
    assert shown["ORCHESTRATOR_LS_LIMIT"] == ("5", "variable")
    assert shown["[upload] limit-rate"] == ("5M", str(config))
    assert shown["[lifecycle.apply] strict"] == ("on", str(config))
    assert "s3cret" not in result.out
    assert scene.recorder.count() == 0
    rows = [line.split("\t") for line in scene.cli(*given, "config", "show", env=env).ok().lines]
    assert ["bucket", scene.bucket, "ORCHESTRATOR_BUCKET"] in rows


def test_without_settings_the_defaults_are_told(cli: RunCommand) -> None:
    shown = cli("config", "show", "--json").ok().json()
    assert shown["bucket"] == {"value": None, "origin": "default"}
    assert shown["endpoint-url"]["value"] == "https://s3.us-east-1.amazonaws.com"
    assert shown["endpoint-url"]["origin"] == "AWS configuration or default"


def test_a_shell_of_the_sandbox_greets_and_is_marked(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("sandbox", "--", "bash")
    screen.read_until(rb"throw-away S3 with the bucket orchestrator-sandbox")
    screen.read_until(rb"\(sandbox\) .*[$#] ")
    screen.send(b"orchestrator config show | grep ^bucket; exit\r")
    assert screen.wait() in {0, 1}
