"""ObjectReader: the reading operations of one bucket as blocking calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from orchestrator_cli.core.base.errors import InterruptedByUser, NotFoundError, OrchestratorError
from orchestrator_cli.core.http.transport import Cancelled
from orchestrator_cli.core.s3.error_codes import INVALID_RANGE
from orchestrator_cli.core.s3.operations.listing import (
    ListingProgress,
    ListPage,
    ListQuery,
    list_objects,
)
from orchestrator_cli.core.s3.operations.read import (
    ObjectContent,
    get_object,
    get_prefix,
    get_range,
    head_for_compare,
    head_object,
)
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary

if TYPE_CHECKING:
    from orchestrator_cli.core.base.retry import RetryPolicy
    from orchestrator_cli.core.s3.connection.connection import Connection


T = TypeVar("T")


class ObjectIndex:
    """The source of heads and listings: the bucket itself, unless a subclass asks a server for it.

    `location` is what messages call the place, as in `s3://bucket`.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def head(self, key: str, *, with_checksum: bool = False) -> Operation[ObjectMetadata]:
        """Look an object up; with S3's own checksum where that is asked for."""
        return head_object(key, with_checksum=with_checksum)

    def head_for_compare(self, key: str) -> Operation[ObjectMetadata | None]:
        """Look up what is needed to recompute a checksum; None where there is no object."""
        return head_for_compare(key)

    def list_page(self, query: ListQuery, token: str | None = None) -> Operation[ListPage]:
        """List one page; `token` is where the page before it ended."""
        return list_objects(query, token)


class ObjectReader:
    """The objects of one place, for reading. Safe to share between threads.

    Every method raises the library's exceptions; requests that failed for a moment are retried.
    """

    def __init__(self, connection: Connection, index: ObjectIndex) -> None:
        self.connection = connection
        self.index = index
        self.retry: RetryPolicy = connection.retry

    @property
    def location(self) -> str:
        """What messages call the place, as in `s3://bucket`."""
        return self.index.location

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result."""
        return self.connection.run(operation)

    def map_operations(
        self, operations: Iterable[Operation[T]], at_once: int | None = None
    ) -> Iterator[T]:
        """Yield the results of operations in order; many are in flight, in the calling thread.

        `at_once` is how many at most, where that is not as many as for all else.
        What one raises ends all; closing the iterator ends them too.
        """
        loop = self.connection.loop(at_once or self.connection.max_in_flight)
        tasks = (self.connection.task(one, loop.throttled) for one in operations)
        try:
            yield from loop.map_ordered(tasks)
        except Cancelled as error:
            raise InterruptedByUser("interrupted") from error
        finally:
            loop.close()

    def head(self, key: str) -> ObjectMetadata:
        """Look an object up, S3's own checksum included. Raises NotFoundError."""
        return self.run(self.index.head(key, with_checksum=True))

    def head_for_compare(self, key: str) -> ObjectMetadata | None:
        """Look up what is needed to recompute the checksum; None where there is no object."""
        return self.run(self.index.head_for_compare(key))

    def head_fast(self, key: str) -> ObjectMetadata:
        """Look an object up, without S3's own checksum. Raises NotFoundError."""
        return self.run(self.index.head(key))

    def exists(self, key: str) -> bool:
        """Return True if there is such an object."""
        try:
            self.head_fast(key)
        except NotFoundError:
            return False
        return True

    def get_prefix(self, key: str, size_bytes: int) -> tuple[ObjectMetadata, memoryview]:
        """Look an object up and read its first bytes, in one request. Raises NotFoundError."""
        try:
            return self.run(get_prefix(key, size_bytes))
        except OrchestratorError as error:
            if error.code != INVALID_RANGE:
                raise
        return self.head_fast(key), memoryview(b"")

    def get(self, key: str, max_bytes: int | None = None) -> ObjectContent:
        """Read a small object whole. Raises NotFoundError, IntegrityError.

        An object of more than `max_bytes` is not read further, and is an IntegrityError.
        """
        return self.run(get_object(key, max_bytes))

    def get_range(
        self,
        key: str,
        offset_bytes: int,
        size_bytes: int,
        into: bytearray | None = None,
        object_bytes: int | None = None,
    ) -> memoryview:
        """Read a range of an object, as a view of `into` if given; shorter where it ends.

        `object_bytes` is the object's size as far as is known. Raises IntegrityError where the
        response says another one.
        """
        return self.run(get_range(key, offset_bytes, size_bytes, into, object_bytes))

    def list_objects(
        self,
        prefix: str,
        start_after: str = "",
        with_restore: bool = False,
        at_once: int | None = None,
    ) -> Iterator[ObjectSummary]:
        """Yield the objects under a prefix in key order, foreign keys included.

        `with_restore` asks for the state of restores too, which only some servers list. `at_once`
        is how many one request asks for, where the caller may need no more; else 1,000.
        """
        query = ListQuery(
            prefix,
            start_after,
            page_size=at_once,
            with_restore=with_restore,
            location=self.location,
        )
        for page in self._pages(query):
            yield from page.objects

    def list_prefixes(
        self, prefix: str, start_after: str = "", first: ListPage | None = None
    ) -> Iterator[str]:
        """Yield the prefixes one level down, in order; one request per thousand.

        `first` is the first page, for a caller who has listed that already.
        """
        query = ListQuery(prefix, start_after, "/", location=self.location)
        for page in self._pages(query, first):
            yield from page.prefixes

    def list_folder(self, prefix: str, start_after: str = "", at_once: int = 1000) -> ListPage:
        """Return the objects and the prefixes one level below a prefix, one page of them."""
        query = ListQuery(prefix, start_after, "/", page_size=at_once, location=self.location)
        return self.run(self.index.list_page(query))

    def _pages(self, query: ListQuery, first: ListPage | None = None) -> Iterator[ListPage]:
        progress = ListingProgress(query.what)
        page = first or self.run(self.index.list_page(query))
        while True:
            progress.check(page.names)
            yield page
            if page.next_token is None:
                return
            page = self.run(self.index.list_page(query, page.next_token))
