"""The limits of a request: how large it may be, and how long a client may take."""

from __future__ import annotations

MAX_TARGET_BYTES = 8192
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
# How much of a longer body is read and discarded, and how long that may take.
DISCARD_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 5.0
# How long the head of a request may take, also that of the next one on a kept connection.
HEAD_SECONDS = 10.0
# A response is sent in pieces of this size, and the client has to accept each within this time. So
# a client that reads slowly gets everything, and one that does not read is dropped.
SEND_BYTES = 64 * 1024
SEND_SECONDS = 10.0
# The kernel drops a client that acknowledges nothing for this long.
UNACKNOWLEDGED_SECONDS = 20
# The most connections of clients without a token. When another one arrives, one is closed.
MAX_CONNECTIONS = 512
# The most requests without a token at a time; another one is refused. Their responses take no work,
# so requests under way wait only for the client to read.
MAX_REQUESTS = 64
