"""How much a request may hold, and how long a client may take: a new limit goes here."""

from __future__ import annotations

MAX_TARGET_BYTES = 8192
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
# How much of a longer body is read and dropped, and how long that may take.
DISCARD_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 5.0
# In which the head of a request has to come: the first one, and the next one on a kept connection.
HEAD_SECONDS = 10.0
# An answer is handed to the server in pieces of this size, and each of them has to be taken in so
# many seconds: a client that reads slowly gets everything, one that does not read is dropped.
SEND_BYTES = 64 * 1024
SEND_SECONDS = 10.0
# After which a client is given up that acknowledges nothing, or reads nothing.
UNACKNOWLEDGED_SECONDS = 20
# Of clients without a token. Where one more connection comes, one is closed.
MAX_CONNECTIONS = 512
# Where one more request comes, it is refused. Most of their answers are ready, so that those under
# way wait for a client to read.
MAX_REQUESTS = 64
