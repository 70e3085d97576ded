"""How the requests of one retry policy fare: which wait, succeed, fail or are throttled."""

from __future__ import annotations

# So long after the last refusal, patience begins anew, as in the next pass of a watch.
_QUIET_SECONDS = 30.0
# So many requests given up, one after the other and none succeeding, are the failure of all.
MANY_IN_A_ROW = 8


class Throttling:
    """Since when requests of one kind were throttled, how many were given up, and the next one."""

    def __init__(self, since: float) -> None:
        self.since = self.until = since
        self.given_up = 0


class RequestProgress:
    """Which requests of one policy wait for a response, and when one last succeeded, by its clock.

    Requests are of kinds that a server may throttle or refuse each by itself, so that what succeeds
    of one kind says nothing of another. `unreached` counts the requests of any kind that were given
    up in a row because what answers may not be the server.
    """

    def __init__(self) -> None:
        """Begin before the first request."""
        self.succeeded_at = self.heard_at = float("-inf")
        # When each request was first sent that should have a response soon.
        self._waiting: dict[object, float] = {}
        self.unreached = 0
        # The kinds of requests of which the last ones were given up without a response in time.
        self.unanswered: set[str] = set()
        self._throttlings: dict[str, Throttling] = {}
        # The requests of each kind that failed and are sent again, and when they were last many.
        self._failing: dict[str, set[object]] = {}
        self._many_failed_at: dict[str, float] = {}

    @property
    def is_answered(self) -> bool:
        """Whether there was a response so far, other than one that can pass."""
        return self.heard_at > float("-inf")

    def silent_seconds(self, now: float) -> float:
        """Return for how long requests have waited, some of them, and none was answered."""
        sent = [*self._waiting.values()]
        return now - max(self.heard_at, min(sent)) if sent else 0.0

    def begin(self, request: object, now: float) -> None:
        """Note that a request was sent that should have a response soon."""
        self._waiting[request] = now

    def end(self, request: object) -> None:
        """Note that nobody waits for the response to a request any more."""
        self._waiting.pop(request, None)
        # A copy, as other threads may meet the first failure of another kind.
        for failing in [*self._failing.values()]:
            failing.discard(request)

    def fail(self, request: object, kind: str, now: float) -> None:
        """Note that a request of this kind failed, and that a retry may help."""
        failing = self._failing.setdefault(kind, set())
        failing.add(request)
        if len(failing) >= MANY_IN_A_ROW:
            self._many_failed_at[kind] = now

    def drops_many(self, kind: str, since: float) -> bool:
        """Return True where many requests of a kind have failed since then, and others succeeded.

        So does a server, or what is before it, that has too many requests and does not say so.
        """
        return min(self._many_failed_at.get(kind, float("-inf")), self.succeeded_at) > since

    def succeed(self, kind: str, now: float) -> None:
        """Note that a request of this kind has succeeded: patience begins anew."""
        self.succeeded_at = self.heard_at = now
        self.unreached = 0
        self.unanswered.discard(kind)
        self._throttlings.pop(kind, None)

    def throttle(self, kind: str, sent_at: float, now: float) -> Throttling:
        """Note that a request of this kind, sent then, was throttled now."""
        for known, throttling in [*self._throttlings.items()]:
            if sent_at > throttling.until + _QUIET_SECONDS:
                self._throttlings.pop(known, None)
        began = [one.since for one in [*self._throttlings.values()]]
        # Where nothing has succeeded since others were throttled, it began with them.
        since = min((at for at in began if at > self.succeeded_at), default=now)
        return self._throttlings.get(kind) or self._throttlings.setdefault(kind, Throttling(since))
