"""Run the tools in turn, so that what else the machine does meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench.measuring.command import CommandFailed, Figures, Run, run_command
from tests.bench.measuring.peers import OURS
from tests.bench.measuring.workload import Workload

_MOST_TIMES_UNJUDGED = 3


def compare(
    workload: Workload,
    environment: Mapping[str, str],
    repeat: int,
    forget: Callable[[], None],
) -> dict[str, Figures]:
    """Run each tool once to warm up, then all in turn, each time another one first.

    Those that no target names run three times at most. `forget` removes what was uploaded. A peer
    that fails is left out and named; raises CommandFailed where this tool fails.
    """
    names = list(workload.commands)
    judged = {OURS, *(target.peer for target in workload.targets)}
    runs: dict[str, list[Run]] = {name: [] for name in names}
    more: dict[str, list[Mapping[str, float]]] = {name: [] for name in names}
    for number in range(0 if workload.warm_up else 1, repeat + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if number > _MOST_TIMES_UNJUDGED and name not in judged:
                continue
            forget()
            workload.before_each()
            try:
                run = run_command(workload.commands[name], environment, workload.stdin)
                told = workload.after_each()
            except CommandFailed as error:
                if name == OURS:
                    raise
                print(f"left out: {error}")
                del runs[name]
                names.remove(name)
                continue
            if number:
                runs[name].append(run)
                more[name].append(told)
    return {name: Figures.of(those, more[name]) for name, those in runs.items()}
