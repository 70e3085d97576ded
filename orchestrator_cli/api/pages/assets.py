"""The scripts, styles and icons of the pages, loaded from this package and served."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.responses import Response

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, plain and compressed."""

    content: bytes
    gzipped: bytes
    media_type: str


@cache
def _assets() -> dict[str, Asset]:
    return {
        found.relative_to(_FOLDER).as_posix(): Asset(
            content, gzip.compress(content, mtime=0), _TYPES[found.suffix]
        )
        for found in sorted(_FOLDER.rglob("*"))
        if found.suffix in _TYPES
        for content in [found.read_bytes()]
    }


@cache
def asset_version() -> str:
    """Return a hash of all files. It is part of their URLs, so that a change is never cached."""
    digest = hashlib.sha256()
    for name, asset in _assets().items():
        digest.update(name.encode() + b"\0" + asset.content)
    return digest.hexdigest()[:16]


@cache
def module_names(folder: str) -> list[str]:
    """Return the scripts of a folder and those they import, so that a page can preload them."""
    folders = (folder, "vendored/")
    return [name for name in _assets() if name.startswith(folders) and name.endswith(".js")]


def asset_response(version: str, name: str, accepts_gzip: bool) -> Response | None:
    """Return a file, or None if there is none.

    Another version gets the current file too, but must not cache it.
    """
    asset = _assets().get(name)
    if asset is None:
        return None
    immutable = "public, max-age=31536000, immutable"
    headers = {
        "Cache-Control": immutable if version == asset_version() else "no-store",
        "Content-Encoding": "gzip" if accepts_gzip else "identity",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
    }
    content = asset.gzipped if accepts_gzip else asset.content
    return Response(content, headers=headers, media_type=asset.media_type)
