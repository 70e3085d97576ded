"""How cost and memory grow with the number of files, and with the size of one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.fixtures import AGAIN_ID, NEW_ID, Fixtures, small_paths, write_sparse, write_tree
from tests.bench.measuring.command import Figures
from tests.bench.measuring.comparing import compare
from tests.bench.measuring.peers import OURS
from tests.bench.measuring.report import Verdict, as_record
from tests.bench.measuring.workload import Workload
from tests.bench.servers.server import Server
from tests.bench.servers.sink import write_listing
from tests.bench.workloads.commands import Commands

_COUNTS = (1_000, 10_000, 100_000)
_QUICK_COUNTS = (50, 500)
_MOST = 1_000_000
_QUICK_MOST = 2_000
# Of each, where there are the most.
_MOST_FILES_BYTES = 64
_GIB = (1.0, 10.0, 50.0)
_QUICK_GIB = (1 / 64, 1 / 16)
_PER_FILE = "CPU µs a file"
_PER_GIB = "CPU s a GiB"
_MOST_MIB = 100.0
# Of the largest beside the smallest: the start of the process is in both.
_SAME = 1.2


class Scale:
    """The trees and the sparse files; made before the server, which has to know of them."""

    def __init__(self, files: Fixtures, *, quick: bool) -> None:
        home = files.tree.parent
        self._trees = {}
        for count in _QUICK_COUNTS if quick else _COUNTS:
            self._trees[count] = home / f"tree-{count}"
            write_tree(self._trees[count], count, files.small)
        self._large = {}
        for gib in _QUICK_GIB if quick else _GIB:
            self._large[gib] = files.several / f"sparse-{gib:g}.bin"
            write_sparse(self._large[gib], int(gib * (1 << 30)))
        self._small_bytes = files.sizes.small_bytes
        self._most = _QUICK_MOST if quick else _MOST
        self._home = home

    def small_files(
        self, make: Commands, environment: Mapping[str, str], repeat: int, server: Server
    ) -> dict[str, Any]:
        """Upload more and more files, ours and s5cmd."""
        found: dict[str, dict[int, Figures]] = {OURS: {}, "s5cmd": {}}
        for count, tree in self._trees.items():
            figures = _compare(make, tree, environment, repeat, server, tuple(found))
            for tool, one in figures.items():
                each = one.cpu_seconds / count * 1e6
                found[tool][count] = replace(one, more={_PER_FILE: each})
        says = f"upload more and more files of {self._small_bytes / 1024:g} KiB"
        named = {
            f"{tool}, {count:,}": one
            for tool, those in found.items()
            for count, one in those.items()
        }
        own = list(found[OURS].values())
        return as_record("scale-files", says, server.name, named, _judge(own, _PER_FILE))

    def large_files(
        self, make: Commands, environment: Mapping[str, str], repeat: int, server: Server
    ) -> dict[str, Any]:
        """Upload larger and larger files, ours alone."""
        named = {}
        for gib, file in self._large.items():
            one = _compare(make, file, environment, repeat, server, (OURS,))[OURS]
            named[f"{OURS}, {gib:g} GiB"] = replace(one, more={_PER_GIB: one.cpu_seconds / gib})
        own = list(named.values())
        says = "upload larger and larger sparse files"
        return as_record("scale-bytes", says, server.name, named, _judge(own, _PER_GIB))

    def most_files(
        self, make: Commands, environment: Mapping[str, str], repeat: int, server: Server
    ) -> dict[str, Any]:
        """Upload very many files, and again where they are stored already, ours alone, once."""
        tree, content = self._home / "tree-most", bytes(range(_MOST_FILES_BYTES))
        write_tree(tree, self._most, content)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        prefix = f"executions/{AGAIN_ID}/artifacts/custom/"
        paths = small_paths(self._most)
        write_listing(self._home, "again", prefix, paths, _MOST_FILES_BYTES, etag)
        named = {}
        for name, execution_id in ((OURS, NEW_ID), ("again", AGAIN_ID)):
            commands = {OURS: make.copy(tree, execution_id)[OURS]}
            workload = Workload(name, "", commands, warm_up=False)
            one = compare(workload, environment, 1, server.forget)[OURS]
            named[name] = replace(one, more={_PER_FILE: one.cpu_seconds / self._most * 1e6})
        says = f"upload {self._most:,} files of {_MOST_FILES_BYTES} bytes, and again"
        memory = Verdict(
            f"memory ≤ {_MOST_MIB:g} MiB", max(one.peak_mib for one in named.values()), _MOST_MIB
        )
        return as_record("scale-most", says, server.name, named, [memory])


def _compare(
    make: Commands,
    source: Path,
    environment: Mapping[str, str],
    repeat: int,
    server: Server,
    tools: Sequence[str],
) -> dict[str, Figures]:
    commands = make.copy(source, NEW_ID)
    chosen = {name: line for name, line in commands.items() if name in tools}
    workload = Workload(source.name, "", chosen, warm_up=False)
    return compare(workload, environment, repeat, server.forget)


def _judge(own: Sequence[Figures], cost: str) -> Iterator[Verdict]:
    """Compare the largest with the smallest."""
    first, last = own[0], own[-1]
    yield Verdict(f"{cost} ≤ {_SAME:g} × the first", last.more[cost] / first.more[cost], _SAME)
    yield Verdict(f"memory ≤ {_MOST_MIB:g} MiB", max(one.peak_mib for one in own), _MOST_MIB)
