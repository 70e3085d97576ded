"""The line to type here for one that is typed by habit from another program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from orchestrator_cli.cli.report.habits import COMMAND_ADVICE, COMMAND_HABITS
from orchestrator_cli.core.executions.ids import LATEST, is_selector, split_place

Words = Sequence[str]

_NOUNS = {"artifact", "artifacts", "execution", "executions", "files", "run", "runs", "snapshots"}
# What these do needs an execution; of reading commands, the newest will do.
_OF_ONE = {"download", "logs", "open", "show", "url", "verify"}
DELETES_NOTHING = (
    "stored files are immutable; `orchestrator lifecycle show` says when the bucket deletes them"
)


def line_instead(words: Words, commands: Collection[str]) -> list[str] | None:
    """Return the line to type, without the program's name; None where nothing is near.

    `words` begin with a command that this program does not have; it has `commands`.
    """
    typed, *rest = words
    if rest and typed in _NOUNS and (rest[0] in COMMAND_HABITS or rest[0] in commands):
        inner = [rest[0], typed, *rest[1:]]
        return line_instead(inner, commands) if rest[0] in COMMAND_HABITS else [rest[0], *rest[1:]]
    translate = _TRANSLATED.get(typed)
    if translate is not None:
        return translate(rest)
    command = COMMAND_HABITS.get(typed)
    return None if command is None else _with_execution(command, _without_noun(rest))


def _without_noun(rest: Words) -> list[str]:
    return list(rest[1:] if rest and rest[0] in _NOUNS else rest)


def _with_execution(command: str, rest: Words) -> list[str]:
    operands = [word for word in rest if not word.startswith("-")]
    if command in _OF_ONE and not operands:
        return [command, LATEST, *rest]
    if len(operands) == 2 and _is_stored(operands[1]) and not _is_stored(operands[0]):
        rest = [*reversed(operands), *(word for word in rest if word not in operands)]
    return [command, *rest]


def _is_stored(text: str) -> bool:
    return is_selector(split_place(text)[0])


def _copy(rest: Words) -> list[str] | None:
    """`cp`, `sync`: up or down, as its operands are."""
    operands = [word for word in rest if word == "-" or not word.startswith("-")]
    if len(operands) != 2:
        return None
    source, target = operands
    if _is_stored(target) and not _is_stored(source):
        return ["upload", split_place(target)[0], source]
    if not _is_stored(source):
        # Which of the two is the execution cannot be told.
        return None
    return ["logs", source] if target == "-" else ["download", source, "-o", target]


def _get(rest: Words) -> list[str]:
    """`get executions`, `get execution ID` as kubectl has it; `get ID` is a download."""
    if not rest or (rest[0] in _NOUNS and len(rest) == 1):
        return ["ls"]
    if rest[0] in _NOUNS:
        return ["ls" if rest[1].startswith("-") else "show", *rest[1:]]
    return ["download", *rest]


def _view(rest: Words) -> list[str]:
    """`gh run view`: the record, a log, or the page."""
    others = {"--log": "logs", "--log-failed": "logs", "--web": "open", "-w": "open"}
    command = next((others[word] for word in rest if word in others), "show")
    return _with_execution(command, [word for word in _without_noun(rest) if word not in others])


def _follow(rest: Words) -> list[str]:
    return ["logs", "-f", *(_without_noun(rest) or [LATEST])]


def _tree(rest: Words) -> list[str]:
    return ["ls", *(rest or [LATEST]), "--tree"]


def _settings(_: Words) -> list[str]:
    return ["config", "show"]


def _check_access(_: Words) -> list[str]:
    return ["doctor"]


def _stop(rest: Words) -> list[str]:
    return ["finish", *_without_noun(rest), "--result", "error"]


def _complete(rest: Words) -> list[str]:
    shells = [word for word in rest if word in ("bash", "zsh", "fish")]
    return ["completion", *(shells or ["bash"])]


def _run(rest: Words) -> list[str]:
    return ["run", "--", *("CMD" if _is_stored(word) else word for word in rest or ["CMD"])]


def _cost(rest: Words) -> list[str]:
    return ["cost", *(word for word in rest if _is_stored(word))]


_TRANSLATED: dict[str, Callable[[Words], list[str] | None]] = {
    **dict.fromkeys(("copy", "cp", "move", "mv", "rsync", "sync"), _copy),
    **dict.fromkeys(("auth", "login", "whoami"), _check_access),
    **dict.fromkeys(("configure", "env"), _settings),
    **dict.fromkeys(("cancel", "stop"), _stop),
    **dict.fromkeys(("completions", "generate-shell-completion"), _complete),
    **dict.fromkeys(("du", "ncdu", "size", "stats"), _cost),
    **dict.fromkeys(("exec", "rerun", "start"), _run),
    "get": _get,
    "tree": _tree,
    "view": _view,
    "watch": _follow,
}


def advise_command(words: Words, commands: Collection[str]) -> tuple[str, str]:
    """Return the command that was probably meant, and a hint; both empty where nothing is near."""
    import difflib
    import shlex

    typed, *rest = words
    if typed in COMMAND_ADVICE:
        return "", COMMAND_ADVICE[typed]
    near = COMMAND_HABITS.get(typed, "")
    if near == "lifecycle":
        return near, DELETES_NOTHING
    line = line_instead(words, commands)
    if not near:
        near = next(iter(difflib.get_close_matches(typed, commands, cutoff=0.65)), "")
        line = [near, *rest] if near else None
    if line is not None:
        return line[0], f"try `{shlex.join(['orchestrator', *line])}`"
    return near, f"see `orchestrator {near} --help`" if near else ""
