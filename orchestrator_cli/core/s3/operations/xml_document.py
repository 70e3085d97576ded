"""Parse S3's XML documents, with limits: a server may be hostile, or not S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.error_codes import unexpected_response
from orchestrator_cli.core.s3.errors import error_from_s3, parse_error_body
from orchestrator_cli.core.s3.operations.request import Operation, S3Request, fetch

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

T = TypeVar("T")

# A page of 1,000 keys, each of its 1,024 bytes encoded as three.
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
# It has some twenty elements a key. This bounds time, memory and depth alike.
_MAX_TAGS = 100_000
# An object of the largest size that S3 takes has a size of 14 digits.
_MAX_DIGITS = 18
_MAX_DATE_CHARACTERS = 40
# For an error that comes after a 200, where its code does not say what it means.
_ERROR_STATUS = 500


class XmlElement:
    """An element of a response. Some servers leave the namespace out.

    A child with another content than S3's raises UnavailableError: the server is not S3.
    """

    __slots__ = ("_element", "_namespace", "_what")

    def __init__(self, element: Element, namespace: str, what: str) -> None:
        self._element = element
        self._namespace = namespace
        self._what = what

    def text(self, name: str) -> str:
        """Return the text of a child; "" where there is no such child."""
        return self._element.findtext(self._namespace + name, "")

    def required(self, name: str) -> str:
        """Return the text of a child that S3 always sends."""
        text = self.text(name)
        if not text:
            raise self.unexpected()
        return text

    def texts(self) -> dict[str, str]:
        """Return the texts of all children by name, in a quarter of the time of single look-ups."""
        skipped = len(self._namespace)
        return {child.tag[skipped:]: child.text or "" for child in self._element}

    def children(self, name: str) -> Iterator[XmlElement]:
        """Yield the children of a name."""
        for child in self._element.findall(self._namespace + name):
            yield XmlElement(child, self._namespace, self._what)

    def child(self, name: str) -> XmlElement | None:
        """Return the first child of a name."""
        found = self._element.find(self._namespace + name)
        return None if found is None else XmlElement(found, self._namespace, self._what)

    def flag(self, name: str) -> bool:
        """Return True where a child says true."""
        return self.text(name).strip().lower() == "true"

    def number(self, text: str) -> int:
        """Return a count or size in bytes that this element gave as text."""
        if not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS:
            raise self.unexpected()
        return int(text)

    def instant(self, text: str) -> datetime:
        """Return an instant that this element gave as text; without a zone it is UTC."""
        if len(text) > _MAX_DATE_CHARACTERS:
            raise self.unexpected()
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            raise self.unexpected() from error
        return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)

    def unexpected(self) -> UnavailableError:
        """Return the error for a document that no S3 sends."""
        return unexpected_response(self._what)


def fetch_document(request: S3Request, root: str, parse: Callable[[XmlElement], T]) -> Operation[T]:
    """Send a request and return what `parse` makes of the document that comes.

    Its root's name begins with `root`: servers differ in whether it ends in Result or Response.
    """
    # A request that its own check held would stay until Python looks for such cycles.
    what = request.what
    return fetch(request, lambda response: parse(_parse_document(response, what, root)))


def _parse_document(response: Response, what: str, root: str) -> XmlElement:
    # S3 may begin to answer 200 before it knows that it fails: an error in its place is raised.
    element = _parse_limited(response.body, what)
    namespace, brace, name = element.tag.rpartition("}")
    if name == "Error":
        text = response.body.decode("utf-8", "replace")
        raise error_from_s3(parse_error_body(_ERROR_STATUS, text), what)
    if not name.startswith(root):
        raise unexpected_response(what)
    return XmlElement(element, namespace + brace, what)


def _parse_limited(body: bytes, what: str) -> Element:
    from xml.etree import ElementTree as ET

    if len(body) > MAX_DOCUMENT_BYTES or body.count(b"<") > _MAX_TAGS:
        raise unexpected_response(what)
    try:
        # Bounded above; expat refuses entities that explode.
        return ET.fromstring(body)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise unexpected_response(what) from error
