"""The storage classes of S3: a table, to which a new class is one line more.

What each costs is in retention/prices.toml.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
"""

from __future__ import annotations

from typing import NamedTuple


class StorageClass(NamedTuple):
    """One class. `is_archive`: an object has to be restored before it can be read.

    An object is paid for `minimum_days` at least, and a small one as `least_billed_bytes`.
    """

    name: str
    minimum_days: int = 0
    least_billed_bytes: int = 0
    is_archive: bool = False


STANDARD = "STANDARD"
INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
DEEP_ARCHIVE = "DEEP_ARCHIVE"
_KIB_128 = 128 * 1024
# From warm to cold.
_CLASSES = (
    StorageClass(STANDARD),
    StorageClass("REDUCED_REDUNDANCY"),
    StorageClass("STANDARD_IA", minimum_days=30, least_billed_bytes=_KIB_128),
    StorageClass(INTELLIGENT_TIERING),
    StorageClass("ONEZONE_IA", minimum_days=30, least_billed_bytes=_KIB_128),
    StorageClass("GLACIER_IR", minimum_days=90, least_billed_bytes=_KIB_128),
    StorageClass("GLACIER", minimum_days=90, is_archive=True),
    StorageClass(DEEP_ARCHIVE, minimum_days=180, is_archive=True),
)
STORAGE_CLASSES = {one.name: one for one in _CLASSES}
# Lifecycle rules move objects to a colder class only, and none moves them to REDUCED_REDUNDANCY.
COLDNESS = {name: step for step, name in enumerate(STORAGE_CLASSES) if name != "REDUCED_REDUNDANCY"}
ARCHIVE_CLASSES = frozenset(one.name for one in _CLASSES if one.is_archive)


def storage_class_named(name: str) -> StorageClass:
    """Return a class; one that the table does not have is taken to be like STANDARD."""
    return STORAGE_CLASSES.get(name) or StorageClass(name)
