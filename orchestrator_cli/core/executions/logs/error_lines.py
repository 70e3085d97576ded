"""Find the lines of a log that report an error, part by part while the log is read."""

from __future__ import annotations

from functools import cache

from orchestrator_cli.core.executions.logs.index import MAX_ERROR_LINES
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern

# A longer line is searched in pieces, each as if it were a line: parts are searched at once, and
# each holds the line that it has not seen the end of.
_MAX_LINE_BYTES = 256 * 1024
# Words by which programs say that something went wrong; "0 errors" says that nothing did. It is
# one expression, as RE2 looks at each byte once for it, and once for each of several.
ERROR_PATTERN = (
    r"\b(?:ERROR|FATAL|FAILED|FAILURE|PANIC|CRITICAL|Traceback|Failed|Fatal|Panic|"
    r"[A-Za-z]*(?:Error|Exception))\b|\b(?:error|fatal|panic)(?::|\[)|[Ss]egmentation fault|"
    # Compilers, and loggers of fields.
    r"\[error\]|\blevel\"?[=:] ?\"?(?:error|fatal)\b|\bpanicked at |"
    # Azure's and GitHub's commands; TAP; JUnit; pytest; Go; GoogleTest.
    r"^[ \t]*::error(?: |::)|##vso\[task\.(?:logissue type=error|complete result=Failed)|"
    r"^[ \t]*not ok\b|<(?:failure|error)[ />]|^E {3}|^[ \t]*--- FAIL:|^FAIL\b|: Failure$"
)
# No letter of it is outside of ASCII: so it does not matter what such bytes stand for.
_AS_ASCII = bytes(range(128)) + b"?" * 128


class ErrorLines:
    """Finds lines in a text that passes by.

    `found` are (offset in bytes, newlines before it); `place` is how far the text was searched, in
    the same way.
    """

    def __init__(self, offset_bytes: int, line: int = 0) -> None:
        """Begin at an offset of the log, after so many newlines."""
        self.found: list[tuple[int, int]] = []
        self.place = offset_bytes, line
        # What follows the last newline.
        self._held = bytearray()

    def add(self, text: bytes) -> None:
        """Take the next bytes, and search the lines that end in them."""
        end = text.rfind(b"\n") + 1
        if end == 0 and len(self._held) + len(text) > _MAX_LINE_BYTES:
            end = len(text)
        if end:
            self._search(bytes(self._held) + text[:end])
            self._held.clear()
        self._held += text[end:]

    def flush(self) -> None:
        """Search what is left: the text ends here."""
        self._search(bytes(self._held))
        self._held.clear()

    def follow(self, other: ErrorLines, line: int) -> None:
        """Go on where another has ended, which counted its lines from this line on.

        What is left was flushed.
        """
        self.found += [(offset, line + one) for offset, one in other.found]
        self.place = other.place[0], line + other.place[1]
        self._held += other._held

    def _search(self, lines: bytes) -> None:
        offset, line = self.place
        counted = 0
        text = lines if lines.isascii() else lines.translate(_AS_ASCII)
        for start, _ in _pattern().spans(text):
            line += lines.count(b"\n", counted, start)
            counted = start
            self.found.append((offset + start, line))
        self.place = offset + len(lines), line + lines.count(b"\n", counted)


class PartErrorLines:
    """Finds the lines of one part, and keeps what belongs to the line that began before it.

    It looks no further than about `most_searched_bytes` of the log.
    """

    def __init__(self, offset_bytes: int, most_searched_bytes: int) -> None:
        self._offset_bytes = offset_bytes
        self._most_searched = most_searched_bytes
        self._leading = b""
        self._lines = None if offset_bytes else ErrorLines(0)
        self._is_cut = False

    def add(self, text: bytes) -> None:
        """Take the next bytes."""
        if self._lines is None:
            text = self._take_leading(text)
        if self._lines is None or not text:
            return
        has_room = len(self._lines.found) < MAX_ERROR_LINES
        if has_room and self._lines.place[0] < self._most_searched:
            self._lines.add(text)
        else:
            self._is_cut = True

    def join(self, lines: ErrorLines, line: int) -> bool:
        """Add to the lines of all parts before; say whether those of the next part can follow.

        `line` is how many newlines are before this part.
        """
        lines.add(self._leading)
        if self._lines is None:
            return True
        lines.flush()
        lines.follow(self._lines, line)
        return not self._is_cut

    def _take_leading(self, text: bytes) -> bytes:
        """Keep the text up to the first newline, and return the rest."""
        end = text.find(b"\n") + 1
        is_ended = end > 0
        if not is_ended:
            end = len(text)
        self._leading += text[:end]
        if is_ended or len(self._leading) > _MAX_LINE_BYTES:
            self._lines = ErrorLines(self._offset_bytes + len(self._leading), int(is_ended))
        return text[end:]


@cache
def _pattern() -> LinePattern:
    return LinePattern([ERROR_PATTERN])
