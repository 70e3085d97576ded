"""The digests of a log that passes by, in every form in which S3 may hold its checksum."""

from __future__ import annotations

from orchestrator_cli.core.s3.checksum import composite, create_hash
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.part_plan import DOUBLING, part_bytes
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

# An object of one PutObject has its SHA-256, in its metadata at least; of parts there may be MD5s.
_PART_ALGORITHMS = ("sha256", "md5")


class GrowingDigests:
    """Hashes the bytes of a log from its beginning, as a whole and by the parts of a stream."""

    def __init__(self) -> None:
        self._whole = create_hash("sha256")
        self._parts: dict[str, list[bytes]] = {name: [] for name in _PART_ALGORITHMS}
        self._begin_part()

    def _begin_part(self) -> None:
        self._part = {name: create_hash(name) for name in _PART_ALGORITHMS}
        self._left = part_bytes(len(self._parts["sha256"]) + 1)

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        view = memoryview(data)
        self._whole.update(view)
        while view:
            piece, view = view[: self._left], view[self._left :]
            for part in self._part.values():
                part.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._end_part()

    def _end_part(self) -> None:
        for name, part in self._part.items():
            self._parts[name].append(part.digest())
        self._begin_part()

    def differ(self, head: ObjectMetadata) -> bool:
        """Return True where a stored object has other bytes than those that have passed.

        False also where S3 holds no checksum that these digests can be compared with.
        """
        stored = best_stored_checksum(head)
        if stored is None or stored.schedule not in (None, DOUBLING):
            return False
        algorithm = stored.checksum.algorithm
        if stored.schedule is None:
            if algorithm != "sha256":
                return False
            own = Checksum(algorithm, self._whole.hexdigest())
        else:
            rest = [self._part[algorithm].digest()] if self._left_of_part else []
            own = composite(algorithm, [*self._parts[algorithm], *rest])
        return own != stored.checksum

    @property
    def _left_of_part(self) -> bool:
        return self._left < part_bytes(len(self._parts["sha256"]) + 1)
