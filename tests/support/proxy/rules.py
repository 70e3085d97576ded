"""Which requests a fault strikes, and when."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from tests.support.proxy.faults import Fault
from tests.support.proxy.operations import Request


@dataclass
class Rule:
    """Which requests a fault strikes; what is None matches everything.

    `key` is a regular expression that is searched for. `nth` counts the matching requests from
    1; `times` is how many from there on. `probability` is drawn from the proxy's seeded source.
    """

    fault: Fault
    operation: str | None = None
    key: str | None = None
    part_number: int | None = None
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    seen: int = 0
    struck: int = 0

    def strikes(self, request: Request, chance: random.Random) -> bool:
        """Count a matching request and say whether it is struck; not safe for threads."""
        if not self._matches(request):
            return False
        self.seen += 1
        due = self.seen >= self.nth and (self.times is None or self.struck < self.times)
        if not due or chance.random() >= self.probability:
            return False
        self.struck += 1
        return True

    def _matches(self, request: Request) -> bool:
        return (
            self.operation in (None, request.operation)
            and (self.key is None or re.search(self.key, request.key) is not None)
            and self.part_number in (None, request.part_number)
        )
