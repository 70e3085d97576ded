"""The names by which the logs of an execution are asked for, and the orders of them."""

from __future__ import annotations

from orchestrator_cli.core.executions.keys import LOG_NAMES

_OUTPUT, _ERRORS = "stdout", "stderr"
SHORT_LOG_NAMES = tuple(name.removesuffix(".log") for name in LOG_NAMES)
_OTHERS = tuple(name for name in SHORT_LOG_NAMES if name not in (_OUTPUT, _ERRORS))
# Which log is shown where none is named: the first of these that is not empty.
DEFAULT_ORDER = (_OUTPUT, *_OTHERS, _ERRORS)
ORDER_AFTER_FAILURE = (_ERRORS, _OUTPUT, *_OTHERS)
SEARCH_ORDER = (_OUTPUT, _ERRORS, *_OTHERS)
# For messages: stdout, stderr, runner or bench.
ANY_LOG = f"{', '.join(SEARCH_ORDER[:-1])} or {SEARCH_ORDER[-1]}"
