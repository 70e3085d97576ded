"""Run a profile's `credential_process`, with limits in time and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from typing import Any

from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.s3.errors import no_credentials

_MAX_OUTPUT_BYTES = 1024 * 1024
# It may have to ask somebody for a code, or for a touch of a key.
LONGEST_SECONDS = 300.0


class CredentialProcess(subprocess.Popen[bytes]):
    """A process that is killed where its output is too long or takes too long.

    It gets our standard input only where that is a terminal: what comes through a pipe is to be
    stored, and would be missing.
    """

    def __init__(self, arguments: list[str], **settings: Any) -> None:
        if not arguments:
            raise no_credentials("credential_process names no program")
        stdin = None if os.isatty(0) else subprocess.DEVNULL
        super().__init__(arguments, stdin=stdin, **settings)

    def communicate(self, *_: Any, **__: Any) -> tuple[bytes, bytes]:
        """Wait for the end and return the output. Raises AccessError."""
        ends_at = time.monotonic() + LONGEST_SECONDS
        try:
            with self:
                written = self._read(ends_at)
                self.wait(max(0.0, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _failed(f"did not end in {LONGEST_SECONDS:g} s") from error
        if self.returncode == 0 and not _has_credentials(written[0]):
            raise _failed("printed no credentials in JSON")
        return written

    def __exit__(self, *details: object) -> None:
        if any(details):
            self.kill()
        super().__exit__(*details)  # type: ignore[arg-type]

    def _read(self, ends_at: float) -> tuple[bytes, bytes]:
        found: dict[int, bytearray] = {}
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as streams:
            for stream in filter(None, (self.stdout, self.stderr)):
                streams.enter_context(stream)
                selector.register(stream, selectors.EVENT_READ)
                found[stream.fileno()] = bytearray()
            first, second = found.values()
            while selector.get_map():
                ready = selector.select(max(0.0, ends_at - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, LONGEST_SECONDS)
                for key, _ in ready:
                    if not _take(key.fileobj, found[key.fd]):
                        selector.unregister(key.fileobj)
        return bytes(first), bytes(second)


def _take(stream: Any, found: bytearray) -> bool:
    """Read available output; return False at its end. Raises AccessError."""
    data = stream.read1(_MAX_OUTPUT_BYTES)
    found += data
    if len(found) > _MAX_OUTPUT_BYTES:
        raise _failed(f"wrote more than {_MAX_OUTPUT_BYTES:,} bytes")
    return bool(data)


def _has_credentials(output: bytes) -> bool:
    try:
        found = parse_json(output)
    except ValueError:
        return False
    # What is missing, or of another version, botocore names.
    return isinstance(found, dict) and all(
        isinstance(found.get(name, ""), str) for name in ("AccessKeyId", "SecretAccessKey")
    )


def _failed(why: str) -> AccessError:
    """Return the error that ends the search: to run it once more would take as long again."""
    return no_credentials(f"the profile's credential_process {why}")
