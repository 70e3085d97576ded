"""The digests of a log that passes by, in every form in which S3 may hold its checksum."""

from __future__ import annotations

from itertools import count

from orchestrator_cli.core.s3.checksum import PartHasher, composite, create_hash
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.part_plan import DOUBLING, part_bytes
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

# An object of one PutObject has its SHA-256, in its metadata at least; of parts there may be MD5s.
_PART_ALGORITHMS = ("sha256", "md5")


class GrowingDigests:
    """Hashes the bytes of a log from its beginning, as a whole and by the parts of a stream."""

    def __init__(self) -> None:
        self._whole = create_hash("sha256")
        self._parts = PartHasher(map(part_bytes, count(1)), _PART_ALGORITHMS)

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._whole.update(data)
        self._parts.update(data)

    def differ(self, head: ObjectMetadata) -> bool:
        """Return True where a stored object has other bytes than those that have passed.

        False also where S3 holds no checksum that these digests can be compared with.
        """
        stored = best_stored_checksum(head)
        if stored is None or stored.schedule not in (None, DOUBLING):
            return False
        algorithm = stored.checksum.algorithm
        if stored.schedule is not None:
            return stored.checksum != composite(algorithm, self._parts.digests(algorithm))
        own = Checksum("sha256", self._whole.hexdigest())
        return algorithm == "sha256" and stored.checksum != own
