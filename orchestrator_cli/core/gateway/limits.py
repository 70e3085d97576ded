"""How much a message between a client and `orchestrator serve` may hold: a new limit goes here."""

from __future__ import annotations

MAX_FILES = 200
MAX_PART_OFFERS = 500
# In one results request: the most failures, resolved files and ended uploads, each.
MAX_CHANGES = 500
MAX_ERROR_CHARACTERS = 1000
# A file that cannot be stored may have any name, and some are longer than a key.
MAX_FAILED_PATH_CHARACTERS = 4096
# Unfinished uploads returned for one key, newest first; older ones are left out.
MAX_UNFINISHED_UPLOADS = 8
# How long a request at the end of a growing log may wait for more.
MAX_WAIT_SECONDS = 20
MAX_SENT_SEGMENT_BYTES = 1024 * 1024
