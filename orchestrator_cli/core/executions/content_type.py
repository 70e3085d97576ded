"""The content type of a file, which follows from its name and from nothing that anyone claims."""

from __future__ import annotations

import re
from functools import lru_cache

from orchestrator_cli.core.executions.keys import file_suffix

_TEXT = "text/plain; charset=utf-8"
# The names of logs and other text files that have no suffix.
_TEXT_NAMES = frozenset(
    "syslog messages dmesg kern auth daemon cron boot console journal secure maillog "
    "stdout stderr output log readme license licence notice changelog copying authors "
    "makefile dockerfile jenkinsfile".split()
)
# As rotated logs have it: app.log.1, app.log-20260131, syslog.2026-01-31.
_ROTATION = re.compile(r"(?:[.-](?:\d{4}-\d{2}-\d{2}|\d{1,14}))+$")
_TEXT_SUFFIXES = frozenset(
    ".log .txt .out .err .md .rst .csv .tsv .yaml .yml .toml .ini .cfg .conf .env .sh .py .c .h "
    ".cpp .rs .go .java .diff .patch .properties .tap .lcov .info".split()
)
_UNKNOWN_TYPE = "application/octet-stream"
_CONTENT_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".xml": "application/xml",
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".xz": "application/x-xz",
    ".bz2": "application/x-bzip2",
}
# Types that a browser shows without running anything.
_PASSIVE_TYPES = (_TEXT, "application/json", "application/x-ndjson", "application/pdf")
_PASSIVE_FAMILIES = ("image/", "audio/", "video/")
_ACTIVE_IMAGE = "image/svg+xml"


def content_type_of(path: str) -> str:
    """Return the Content-Type for a file name, without its content."""
    return _type_of_name(path.rpartition("/")[2])


# A listing repeats a few names in many folders, and each file's type is needed twice for it.
@lru_cache(maxsize=1024)
def _type_of_name(name: str) -> str:
    name = _ROTATION.sub("", name)
    suffix = file_suffix(name)
    if suffix in _TEXT_SUFFIXES or name.lower() in _TEXT_NAMES:
        return _TEXT
    if suffix in _CONTENT_TYPES:
        return _CONTENT_TYPES[suffix]
    return _python_type(suffix) if suffix else _UNKNOWN_TYPE


@lru_cache(maxsize=256)
def _python_type(suffix: str) -> str:
    import mimetypes

    # Only the table inside Python: the system's would make the type depend on the host.
    guessed, encoding = mimetypes.MimeTypes().guess_type(f"x{suffix}")
    return guessed if guessed and not encoding else _UNKNOWN_TYPE


def is_active(content_type: str) -> bool:
    """Return True for what could run in a browser, as HTML, SVG, XML and scripts, or is unknown."""
    if content_type in _PASSIVE_TYPES:
        return False
    return content_type == _ACTIVE_IMAGE or not content_type.startswith(_PASSIVE_FAMILIES)
