"""What the sink serves: objects of executions, and the listings of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator_cli.core.s3.checksum import composite, hash_range, to_base64
from orchestrator_cli.core.s3.part_plan import DOUBLING, plan_parts
from tests.bench.fixtures import (
    AGAIN_ID,
    DOWN_ID,
    IDS,
    LARGE_ID,
    LOG_ID,
    NEEDLE,
    NEW_ID,
    SEARCHED_BYTES,
    Fixtures,
    make_record,
    small_paths,
    write_noise,
    write_text,
)
from tests.bench.servers.sink import write_listing
from tests.bench.servers.sink_config import Stored
from tests.support.stored.executions import make_id
from tests.support.stored.local_files import local_file

_LOG_BYTES = 4096


def fill_sink(home: Path, fixtures: Fixtures) -> Stored:
    """Write what the sink serves, and return what it says of that."""
    bucket = home / "www/bench"
    (home / "www/lists").mkdir(parents=True)
    paths = small_paths(fixtures.sizes.small_files)
    etag = hashlib.md5(fixtures.small, usedforsecurity=False).hexdigest()
    for execution_id in IDS.values():
        root = bucket / "executions" / execution_id
        (root / "artifacts/custom").mkdir(parents=True)
        (root / "logs").mkdir()
        (root / "metadata.json").write_bytes(make_record(execution_id))
    for name, execution_id in (("again", AGAIN_ID), ("down", DOWN_ID)):
        custom = bucket / "executions" / execution_id / "artifacts/custom"
        for path in paths:
            (custom / path).parent.mkdir(exist_ok=True)
            (custom / path).write_bytes(fixtures.small)
        (bucket / name).symlink_to(custom)
        prefix = f"executions/{execution_id}/artifacts/custom/"
        write_listing(home, name, prefix, paths, fixtures.sizes.small_bytes, etag)
        write_listing(home, f"peer-{name}", f"{name}/", paths, fixtures.sizes.small_bytes, etag)
    write_listing(home, "empty", "", [], 0, etag)
    searched = _write_searched(home, fixtures.sizes.logs)
    logs = bucket / "executions" / LOG_ID / "logs"
    digests = {
        "stdout.log": write_noise(logs / "stdout.log", _LOG_BYTES),
        "runner.log": write_noise(logs / "runner.log", fixtures.sizes.log_bytes),
        "bench.log": write_text(logs / "bench.log", fixtures.sizes.text_bytes),
    }
    custom = bucket / "executions" / LARGE_ID / "artifacts/custom"
    (custom / "large.bin").symlink_to(fixtures.large.absolute())
    prefix = f"executions/{LARGE_ID}/artifacts/custom/"
    write_listing(home, "large", prefix, ["large.bin"], fixtures.sizes.large_bytes, etag)
    large = {
        "artifacts/custom/large.bin": fixtures.large,
        "logs/stdout.log": fixtures.large,
        **{f"artifacts/custom/{file.name}": file for file in fixtures.several.iterdir()},
    }
    composites = {
        path: _completed(bucket / "executions" / NEW_ID / path, file)
        for path, file in large.items()
    }
    return Stored(fixtures.small, digests, composites, DOUBLING, searched)


def _write_searched(home: Path, count: int) -> bytes:
    """Write so many executions of the last minutes, each with a log; return what each log holds."""
    now = datetime.now(UTC)
    line = "2026-01-31T08:00:{:02}.{:03}Z step {:05}: the voltage is as it should be\n"
    lines = [line.format(number % 60, number % 1000, number) for number in range(2000)]
    lines[500] = f"{NEEDLE}\n"
    content = "".join(lines).encode()[: SEARCHED_BYTES - 1] + b"\n"
    ids = [make_id(now - timedelta(seconds=60 + number / 10), number) for number in range(count)]
    paths = [f"{one}/logs/stdout.log" for one in ids]
    for path in paths:
        log = home / "www/bench/executions" / path
        log.parent.mkdir(parents=True)
        log.write_bytes(content)
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    write_listing(home, "searched", "executions/", paths, len(content), etag)
    return content


def _completed(stored: Path, file: Path) -> str:
    """Make a file that has the size of an uploaded one; return its composite checksum."""
    with stored.open("wb") as sized:
        sized.truncate(file.stat().st_size)
    digests = _part_digests(file)
    whole = composite("sha256", digests)
    return f"{to_base64(bytes.fromhex(whole.hex_digest))}-{len(digests)}"


def _part_digests(file: Path) -> list[bytes]:
    hollow = file.stat().st_blocks == 0
    known: dict[int, bytes] = {}
    digests = []
    with local_file(file) as source:
        for part in plan_parts(source.size_bytes, DOUBLING):
            digest = known.get(part.size_bytes) or hash_range(
                source, "sha256", part.offset_bytes, part.size_bytes
            )
            digests.append(digest)
            if hollow:
                # Of a file without a byte, parts of one size are all alike.
                known[part.size_bytes] = digest
    return digests
