"""The servers that count: what is counted is only as true as their answers."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

from tests.bench.counted.crowd import Listing
from tests.bench.counted.resuming import run_resume_bench
from tests.bench.servers.certificates import client_environment, make_certificates
from tests.bench.workloads.boto_baseline import __file__ as boto_baseline
from tests.support.commands.running import process_environment


def test_a_tool_that_cannot_resume_is_seen_to_send_again(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(40 << 20))
    with run_resume_bench(tmp_path, file) as bench:
        environment = process_environment(None) | {
            **client_environment(bench.server.endpoint_url, tmp_path / "ca.pem"),
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "us-east-1",
        }
        command = [sys.executable, boto_baseline, str(file), "new/", "classic"]
        record = bench.measure({"orchestrator": command}, environment, 1, "here")
    more = record["tools"]["orchestrator"]["more"]
    # Half of it had arrived, in whole parts or not.
    assert 20 <= more["sent again MiB"] < 40
    assert record["targets"][0]["met"] is (more["sent again MiB"] <= more["in flight MiB"])


def test_a_listing_pages_as_s3_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.counted.crowd._PAGE", 3)
    keys = [f"e/{a}/{b}" for a, b in product("ABCDE", ("l/x", "l/y", "m"))] + ["d", "e/A", "f"]
    listing = Listing(keys)

    def all_of(prefix: str, delimiter: str, after: str) -> tuple[list[str], list[str]]:
        found: tuple[list[str], list[str]] = ([], [])
        more = True
        while more:
            keys, prefixes, more = listing.page(prefix, delimiter, after)
            assert len(keys) + len(prefixes) == 3 or not more
            found[0].extend(keys)
            found[1].extend(prefixes)
            after = max(keys[-1:] + [one + "~" for one in prefixes[-1:]], default="")
        return found

    assert all_of("", "", "") == (sorted(keys), [])
    assert all_of("e/", "/", "") == (["e/A"], [f"e/{a}/" for a in "ABCDE"])
    assert all_of("e/", "/", "e/C") == ([], ["e/C/", "e/D/", "e/E/"])
    assert all_of("e/", "", "e/D/l/x") == (["e/D/l/y", "e/D/m", "e/E/l/x", "e/E/l/y", "e/E/m"], [])
    assert all_of("x", "/", "") == ([], [])
