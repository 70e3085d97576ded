"""Which files below a root are wanted, by globs as in a .gitignore."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import translate


class PathFilter:
    """Include and exclude globs on the path relative to its root; `*` also matches `/`.

    A name without a slash is that of a file or directory at any depth, `name/` only that of a
    directory; all that is in a directory that matches does too. A leading `/` or `./` is the root.
    Without `hidden`, what has a name that begins with a dot is left out, and links to it.
    """

    def __init__(
        self, include: Iterable[str] = (), exclude: Iterable[str] = (), hidden: bool = True
    ) -> None:
        self._include = [_Glob(glob) for glob in include]
        self._exclude = [_Glob(glob) for glob in exclude]
        self.hidden = hidden

    def fingerprint(self) -> str:
        """Return a short text that is the same for the same selection.

        It is "" for the usual one, which has no globs and leaves out what is hidden.
        """
        wanted = sorted(one.glob for one in self._include)
        unwanted = sorted(one.glob for one in self._exclude)
        if not (wanted or unwanted or self.hidden):
            return ""
        text = repr((wanted, unwanted, self.hidden))
        return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]

    def matches(self, relative: str) -> bool:
        """Return True if a file is selected."""
        wanted = _matches(self._include, relative) or not self._include
        return not _matches(self._exclude, relative) and wanted

    def enters(self, relative: str) -> bool:
        """Return True if anything in a directory can be selected."""
        return not _matches(self._exclude, f"{relative}/")

    def unmatched(self) -> Iterator[str]:
        """Yield the globs that nothing has matched so far."""
        return (one.glob for one in (*self._include, *self._exclude) if not one.has_matched)


class _Glob:
    def __init__(self, glob: str) -> None:
        self.glob = glob
        self.has_matched = False
        self._pattern = re.compile(_as_regex(glob))

    def matches(self, relative: str) -> bool:
        found = self._pattern.fullmatch(relative) is not None
        self.has_matched = self.has_matched or found
        return found


def _matches(globs: list[_Glob], relative: str) -> bool:
    # No short cut: each glob has to know whether it has ever matched.
    return bool([glob for glob in globs if glob.matches(relative)])


def _as_regex(glob: str) -> str:
    rooted = glob.removeprefix("./")
    rooted = rooted.removesuffix("**") if rooted.endswith("/**") else rooted
    name = rooted.rstrip("/")
    below = "/.*" if rooted != name else "(?:/.*)?"
    anywhere = "(?:.*/)?" if "/" not in name or name.startswith("**/") else ""
    pieces = name.removeprefix("**/").removeprefix("/").split("/**/")
    inside = "/(?:.*/)?".join(translate(piece)[4:-3] for piece in pieces)
    return f"(?s:{anywhere}{inside}{below})"
