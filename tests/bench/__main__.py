"""Run the benchmarks; see `make bench`."""

from __future__ import annotations

import signal
import sys
import tempfile
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from tests.bench.agenda import Agenda
from tests.bench.fixtures import make_fixtures
from tests.bench.measuring.command import CommandFailed
from tests.bench.measuring.facts import gather_facts
from tests.bench.measuring.peers import find_tools
from tests.bench.measuring.report import print_record, write_json
from tests.bench.options import parse_options, sizes_of
from tests.bench.serving.rows import NAME as SERVING
from tests.bench.serving.rows import bench_serving


def main() -> None:
    """Measure what was asked for, print it, and write it where asked."""
    options = parse_options()
    # The servers end with this process, and no signal but Ctrl-C would let it end them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    # A run takes minutes: what is known is told at once, into a file too.
    cast("TextIOWrapper", sys.stdout).reconfigure(line_buffering=True)
    tools = find_tools(options.peers)
    if tools.missing:
        print(f"left out, not installed: {', '.join(tools.missing)}")
    facts = gather_facts(tools)
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if SERVING in options.only:
        bench_serving(options, facts)
    records = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as made:
        home = Path(made)
        try:
            for record in Agenda(
                options, tools, home, make_fixtures(home, sizes_of(options))
            ).measure():
                records.append(record)
                print_record(record)
        except CommandFailed as error:
            sys.exit(str(error))
        finally:
            if options.json:
                write_json(options.json, facts, records)


if __name__ == "__main__":
    main()
