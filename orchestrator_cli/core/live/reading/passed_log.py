"""What has passed by of a log that is followed, compared with the final object."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.s3.checksum import PartHasher, composite, create_hash
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.part_plan import DOUBLING, part_bytes
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

# An object of one PutObject has its SHA-256, in its metadata at least; of parts there may be MD5s.
_PART_ALGORITHMS = ("sha256", "md5")


class PassedLog:
    """The bytes of a log up to `offset`; where they began with its first, they are hashed.

    That is done as a whole and by the parts of a stream, as S3 may hold either. `name` is what
    messages call the log.
    """

    def __init__(self, name: str, offset: int) -> None:
        self.offset = offset
        self._name = name
        self._is_whole = offset == 0
        self._whole = create_hash("sha256")
        self._parts = PartHasher(map(part_bytes, count(1)), _PART_ALGORITHMS)

    def add(self, chunk: LiveChunk) -> None:
        """Add what comes next."""
        self.skip_to(chunk.offset)
        if self._is_whole:
            self._whole.update(chunk.data)
            self._parts.update(chunk.data)
        self.offset = chunk.end

    def skip_to(self, offset: int) -> None:
        """Go on at an offset: a reader may leave out what is before the lines that are wanted."""
        self._is_whole = self._is_whole and offset <= self.offset
        self.offset = max(self.offset, offset)

    def check_size(self, size_bytes: int) -> None:
        """Raise IntegrityError where the final object is shorter than what has passed."""
        if size_bytes < self.offset:
            raise IntegrityError(
                f"{self._name} has {size_bytes:,} bytes, but {self.offset:,} bytes of this log "
                "were there before"
            )

    def check_content(self, look_up: Callable[[], ObjectMetadata]) -> None:
        """Raise IntegrityError where the final object, which is looked up, has other bytes.

        Nothing is said where S3 holds no checksum that these digests can be compared with.
        """
        if self._is_whole and self._differs(look_up()):
            raise IntegrityError(
                f"{self._name}: its bytes are not those that were there while it grew"
            )

    def _differs(self, head: ObjectMetadata) -> bool:
        stored = best_stored_checksum(head)
        if stored is None or stored.schedule not in (None, DOUBLING):
            return False
        algorithm = stored.checksum.algorithm
        if stored.schedule is not None:
            return stored.checksum != composite(algorithm, self._parts.digests(algorithm))
        own = Checksum("sha256", self._whole.hexdigest())
        return algorithm == "sha256" and stored.checksum != own
