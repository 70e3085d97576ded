"""Keys that others put into the bucket: they stop no command, reach no terminal, become no path."""

from __future__ import annotations

import unicodedata
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_cli.sandbox.sandbox import Sandbox
from tests.support.commands.running import Result, RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_execution, put_keys
from tests.support.stored.objects import list_keys, make_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ID = make_id(number=7)
# Names that a file may have, however unusual.
FILES = {
    "[red]bold[/red]": b"1",
    "artifacts/custom/" + "long" * 242: b"2",
    "artifacts/custom/%2e%2e/x": b"3",
    "artifacts/custom/...": b"4",
    "artifacts/custom/a b\u00fc&?#'\"+\\": b"5",
    "artifacts/custom/\u202etxt.exe": b"6",
    "artifacts/custom/\U0001f600": b"7",
    "logs/stdout.log": b"8\n",
}
USUAL = dict(sorted(FILES.items(), key=lambda item: item[0].encode()))
# Names that no file of an execution has.
FOREIGN = [
    "../x",
    "[red]x",
    "executions",
    "executions/",
    "executions//a",
    "executions/..",
    "executions/../../x",
    "executions/" + "x" * 1000,
    "executions/x/y",
    "executions/\x1b[31mred",
    f"executions/{ID}",
    f"executions/{ID.lower()}/metadata.json",
    f"executions/{ID}/",
    f"executions/{ID}//",
    f"executions/{ID}/../../../escaped",
    f"executions/{ID}/./x",
    f"executions/{ID}/artifacts/a//b",
    f"executions/{ID}/artifacts/custom/../escaped",
    f"executions/{ID}/artifacts/custom/\x07\x1b]0;owned\x07",
    f"executions/{ID}/artifacts/custom/\x9b31mred",
    f"executions/{ID}/artifacts/custom/new\nline",
    f"executions/{ID}/artifacts/custom/slash/",
    f"history/{ID}",
    "history/date=2026-01-01/x.json",
    "live/x",
]


@pytest.fixture(scope="module")
def hostile(sandbox: Sandbox, s3: S3Client) -> str:
    """A bucket with one execution among all that.

    It stays until the server ends: no request to delete can name all of these keys.
    """
    bucket = make_bucket(s3)
    put_execution(s3, bucket, ID, USUAL)
    put_keys(s3, bucket, [key for key in FOREIGN if "\n" not in key])
    for key in FOREIGN:
        if "\n" in key:
            post_object(f"{sandbox.endpoint_url}/{bucket}", key)
    stored = {f"executions/{ID}/{path}" for path in (*USUAL, "metadata.json")}
    assert set(list_keys(s3, bucket)) == stored | set(FOREIGN)
    return bucket


def post_object(bucket_url: str, key: str) -> None:
    """Store an object as a browser's form does: the server takes no newline in a path."""
    border = uuid.uuid4().hex
    fields = "".join(
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"key": key, "file": "x"}.items()
    )
    content_type = f"multipart/form-data; boundary={border}"
    request = urllib.request.Request(
        bucket_url, f"{fields}--{border}--\r\n".encode(), {"Content-Type": content_type}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204


@pytest.fixture
def run(scene: Scene, hostile: str) -> RunCommand:
    """Run a command on that bucket, and look at all it writes."""

    def run(*arguments: str | Path, **options: object) -> Result:
        result = scene.cli("--bucket", hostile, *arguments, **options)  # type: ignore[arg-type]
        # A tab is between cells; a test of the cells finds one that is inside.
        assert raw(result.out) <= {"\t"}
        assert raw(result.err) == set()
        return result

    return run  # type: ignore[return-value]


def raw(text: str) -> set[str]:
    """Return what a terminal would act on; lines end, cells and, with -0, names do."""
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {one for one in text if unicodedata.category(one) in acting} - {"\n", "\t", "\0"}


def escaped(path: str) -> str:
    return path.replace("\u202e", "\\u202e")


def test_executions_are_listed(run: RunCommand) -> None:
    assert run("ls", "-0", "--since", "365d").ok().out == f"{ID}\0"
    assert [line[:26] for line in run("ls").ok().lines] == [ID]
    assert [record["execution_id"] for record in run("ls", "--json").ok().json_lines()] == [ID]
    assert run("show", "--json", "@latest").ok().json()["execution_id"] == ID


def test_files_are_listed(run: RunCommand) -> None:
    lines = run("ls", ID).ok().lines
    assert [line.split("\t")[2] for line in lines] == [escaped(path) for path in USUAL]
    assert [record["path"] for record in run("ls", "--json", ID).ok().json_lines()] == list(USUAL)


def test_names_for_scripts_are_the_bytes_themselves(scene: Scene, hostile: str) -> None:
    result = scene.cli("--bucket", hostile, "ls", "-0", ID).ok()
    assert result.out.split("\0") == [*USUAL, ""]


@pytest.mark.parametrize("style", ["text", "json", "markdown", "jira"])
def test_urls_are_made(run: RunCommand, style: str) -> None:
    assert len(run("url", ID, "--format", style).ok().lines) == len(USUAL)


@pytest.mark.parametrize("path", USUAL)
def test_every_file_can_be_read_by_its_name(run: RunCommand, path: str) -> None:
    assert run("logs", ID, path).ok().stdout == USUAL[path]


def test_verify_looks_at_the_files(run: RunCommand) -> None:
    result = run("verify", ID, "--json", "--read").ok()
    assert [record["path"] for record in result.json_lines()] == list(USUAL)
    assert run("-v", "verify", ID).ok().err.count("ok: ") == len(USUAL)


def test_nothing_is_written_outside_of_the_directory(run: RunCommand, tmp_path: Path) -> None:
    names = {path: data for path, data in USUAL.items() if len(path) < 255}
    target = tmp_path / "a" / "b" / "out"
    result = run("-v", "download", ID, *names, "-o", target, "--json").ok()
    assert {record["path"] for record in result.json_lines()} == set(names)
    assert {
        str(path.relative_to(target)): path.read_bytes() for path in files_below(tmp_path)
    } == names


def test_a_name_too_long_for_the_disk_fails_alone(run: RunCommand, tmp_path: Path) -> None:
    run("download", ID, "-o", tmp_path / "out").expect(3)
    # What was read of it stays, for the next try.
    whole = [path for path in files_below(tmp_path / "out") if path.suffix != ".part"]
    assert len(whole) == len(USUAL) - 1


def files_below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if not path.is_dir())


def test_an_upload_and_the_manifest_see_only_files(scene: Scene, hostile: str) -> None:
    other = put_execution(scene.s3, hostile, make_id(number=8), {"logs/stdout.log": b"x"})
    put_keys(
        scene.s3,
        hostile,
        [key.replace(ID, other) for key in FOREIGN if f"{ID}/" in key and "\n" not in key],
    )
    (scene.directory / "more.txt").write_text("more")
    scene.cli("--bucket", hostile, "upload", other, scene.directory / "more.txt").ok()
    result = scene.cli("--bucket", hostile, "finish", other, "--result", "pass", "--json").ok()
    assert raw(result.out) == set()
    manifest = [artifact["path"] for artifact in result.json()["artifacts"]]
    assert manifest == ["artifacts/custom/more.txt", "logs/stdout.log"]
