"""A bench adapter for a serial console, in the standard library alone: an example of the contract.

python serial_adapter.py DEVICE DIRECTORY, where DIRECTORY is ROOT/BENCH_ID/EXECUTION_ID. It copies
the console to raw/bench.log until the other side hangs up or SIGTERM comes, and each dump that the
target prints between two marks to a file of its own.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

BEGIN, END = b"--- dump ", b"--- end"


def lines_of(device: str) -> Iterator[bytes]:
    """Yield the lines of a console; one that was cut off at the end gets its newline."""
    rest = b""
    with open(device, "rb", buffering=0) as console, contextlib.suppress(OSError):
        while data := console.read(4096):
            *lines, rest = (rest + data.replace(b"\r\n", b"\n")).split(b"\n")
            yield from lines
    if rest:
        yield rest


def main(device: str, directory: Path) -> None:
    # The directory of the bench is there if the share is mounted, and this one if it was begun.
    temp, raw = directory / "temp", directory / "raw"
    dump, name = None, ""
    with (raw / "bench.log").open("ab", buffering=0) as log:
        for line in lines_of(device):
            log.write(line + b"\n")
            if line.startswith(BEGIN):
                name = Path(os.fsdecode(line.removeprefix(BEGIN).strip())).name
                dump = (temp / name).open("wb")
            elif line.startswith(END) and dump is not None:
                dump.close()
                # It appears whole, and only then.
                (temp / name).rename(raw / name)
                dump = None
            elif dump is not None:
                dump.write(line + b"\n")
    if dump is not None:
        dump.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(sys.argv[1], Path(sys.argv[2]))
