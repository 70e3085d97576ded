"""Find the line to type here for one that is typed by habit from another program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import click

from orchestrator_cli.cli.usage_errors.command_habits import COMMAND_ADVICE, COMMAND_HABITS
from orchestrator_cli.cli.usage_errors.rewritten_line import (
    options_of,
    rewrite_options,
    takes_operands,
    try_line,
    without_operands,
)
from orchestrator_cli.core.executions.ids import LATEST, is_execution_id, is_selector, split_place

Words = Sequence[str]

# What these do needs an execution, for which the newest will do.
OF_ONE = {"download", "index", "logs", "open", "show", "url", "verify"}
_FORMATS = {"json", "name", "table", "text", "wide", "yaml"}
DELETES_NOTHING = (
    "stored files are immutable; `orchestrator lifecycle show` says when the bucket deletes them"
)


def suggested_line(words: Words, commands: Collection[str]) -> list[str] | None:
    """Return the line to type, without the program's name; None where nothing is near.

    `words` begin with a command that this program does not have; it has `commands`.
    """
    typed, *rest = words
    verb = _verb(typed, commands)
    if verb is None and rest:
        # `workflow list`, `s3 cp`: whatever the first word is, it says of what.
        verb, rest = _verb(rest[0], commands), rest[1:]
    elif rest and typed in _NOUNS and _verb(rest[0], commands) is not None:
        verb, rest = _verb(rest[0], commands), rest[1:]
        if verb == "get" and rest:
            verb = "show"
    if verb is None:
        return None
    if verb in commands:
        return _with_execution(verb, rest)
    translate = _TRANSLATED.get(verb)
    if translate is not None:
        return translate(rest)
    command = COMMAND_HABITS.get(verb)
    return None if command is None else _with_execution(command, rest)


def _verb(typed: str, commands: Collection[str]) -> str | None:
    """Return the command, of here or elsewhere, in a word such as LS or list-executions."""
    folded = typed.lower()
    for word in (folded, *folded.split("-")):
        if word in commands or word in COMMAND_HABITS:
            return word
    return None


def _with_execution(command: str, rest: Words) -> list[str]:
    operands = [word for word in rest if not word.startswith("-")]
    stored = [word for word in operands if _is_stored(word)]
    if command in ("show", "ls") and rest == operands:
        # What else is named, such as `pod`, says of what.
        rest = operands = stored
    if command == "upload" and not stored:
        return [command, "ID", *(rest if operands else ["PATH", *rest])]
    if command == "verify" and len(operands) > 1 and not stored:
        return [command, "ID", *rest]
    if command in OF_ONE and not stored:
        return [command, LATEST, *rest]
    if len(rest) == 2 and rest == operands and stored == operands[1:]:
        return [command, *reversed(rest)]
    return [command, *rest]


def _is_stored(text: str) -> bool:
    return is_selector(split_place(text)[0])


def _copy(rest: Words) -> list[str]:
    """`cp`, `sync`: up or down, as its operands are."""
    operands = [_with_slash(word) for word in rest if word == "-" or not word.startswith("-")]
    if len(operands) == 1 and _is_stored(operands[0]):
        return ["download", *operands]
    source, target = operands[:2] if operands[1:] else [*operands, "PATH", "ID"][:2]
    if _is_stored(source):
        return ["logs", source] if target == "-" else ["download", source, "-o", target]
    if not _is_stored(target):
        # Which of the two is the execution cannot be told.
        return ["upload", "ID", source]
    execution, path = split_place(target)
    is_name = path and not path.endswith("/")
    return ["upload", execution, source, *(["--name", path] if is_name else [])]


def _with_slash(word: str) -> str:
    """Return `ID:path`, as kubectl and docker have it, as `ID/path`."""
    place, colon, path = word.partition(":")
    return f"{place}/{path.lstrip('/')}" if colon and is_execution_id(place) else word


def _get(rest: Words) -> list[str]:
    """`get executions`, `get execution ID` as kubectl has it; `get ID` is a download."""
    operands = [word for word in rest if not word.startswith("-") and word not in _FORMATS]
    if not any(map(_is_stored, operands)):
        return ["ls", *(word for word in rest if word not in operands)]
    if _is_stored(operands[0]):
        return ["show" if _FORMATS.intersection(rest) else "download", *rest]
    command = "logs" if operands[0] in ("log", "logs") else "show"
    return [command, *(word for word in rest if word != operands[0])]


def _view(rest: Words) -> list[str]:
    """`gh run view`: the record, a log, or the page."""
    others = {"--log": "logs", "--log-failed": "logs", "--web": "open", "-w": "open"}
    command = next((others[word] for word in rest if word in others), "show")
    return _with_execution(command, [word for word in rest if word not in others])


def _stat(rest: Words) -> list[str]:
    """`stat ID/path`: the file; `stat ID`: the execution."""
    return _with_execution("ls" if any(split_place(word)[1] for word in rest) else "show", rest)


def _piped(program: str) -> Callable[[Words], list[str]]:
    """`head -n 5 ID`: the options stay with the program, which reads the log from a pipe."""

    def translate(rest: Words) -> list[str]:
        stored = [word for word in rest if _is_stored(word)] or [LATEST]
        return ["logs", *stored, "|", program, *(word for word in rest if word not in stored)]

    return translate


def _find(rest: Words) -> list[str]:
    """`find ID -name GLOB`: files; `find TEXT`: lines of logs."""
    if not any(map(_is_stored, rest)):
        return ["grep", *rest]
    return ["ls", *(word for word in rest if not word.startswith("-"))]


def _end(rest: Words) -> list[str]:
    return ["finish", *rest, "--result", "pass"]


def _tail(rest: Words) -> list[str]:
    return _with_execution("logs", ["-f" if word == "-F" else word for word in rest])


def _follow(rest: Words) -> list[str]:
    return ["logs", "-f", *([word for word in rest if _is_stored(word)] or [LATEST])]


def _tree(rest: Words) -> list[str]:
    return ["ls", *(rest or [LATEST]), "--tree"]


def _settings(_: Words) -> list[str]:
    return ["config", "show"]


def _check_access(_: Words) -> list[str]:
    return ["doctor"]


def _stop(rest: Words) -> list[str]:
    return ["finish", *(word for word in rest if _is_stored(word)), "--result", "error"]


def _complete(rest: Words) -> list[str]:
    shells = [word for word in rest if word in ("bash", "zsh", "fish")]
    return ["completion", *(shells or ["bash"])]


def _run(rest: Words) -> list[str]:
    return ["run", "--", *("CMD" if _is_stored(word) else word for word in rest or ["CMD"])]


def _cost(rest: Words) -> list[str]:
    return ["cost", *(word for word in rest if _is_stored(word))]


_NOUNS = {"artifact", "artifacts", "execution", "executions", "files", "run", "runs", "snapshots"}
_TRANSLATED: dict[str, Callable[[Words], list[str]]] = {
    **dict.fromkeys(("checkout", "clone", "copy", "cp", "move", "mv", "rsync", "sync"), _copy),
    **dict.fromkeys(("account", "auth", "login", "who", "whoami"), _check_access),
    **dict.fromkeys(("configure", "env", "settings"), _settings),
    **dict.fromkeys(("cancel", "kill", "stop"), _stop),
    **dict.fromkeys(("autocomplete", "completions", "generate-shell-completion"), _complete),
    **dict.fromkeys(("billing", "du", "ncdu", "price", "size", "stats"), _cost),
    **dict.fromkeys(("exec", "rerun", "restart", "start", "test"), _run),
    **{program: _piped(program) for program in ("head", "wc")},
    **dict.fromkeys(("close", "complete", "done", "end"), _end),
    "find": _find,
    "get": _get,
    "stat": _stat,
    "tail": _tail,
    "tree": _tree,
    "view": _view,
    "wait": _follow,
    "watch": _follow,
}


def advise_command(
    words: Words, commands: Collection[str], root: click.Group, ctx: click.Context
) -> tuple[str, str]:
    """Return the command that was probably meant, and a hint; the first may be empty."""
    import difflib

    typed, *rest = words
    advised = _advised(words, commands)
    if advised is not None:
        return "", COMMAND_ADVICE[advised]
    line = suggested_line(words, commands)
    if line is None:
        near = next(iter(difflib.get_close_matches(typed, commands, cutoff=0.75)), None)
        line = [near, *rest] if near else None
    if line is None:
        return "", f"the commands are {', '.join(commands)}"
    if line[0] == "lifecycle" and typed not in commands:
        return line[0], DELETES_NOTHING
    return line[0], try_line(_rewritten(line, root, ctx))


def _advised(words: Words, commands: Collection[str]) -> str | None:
    for word in (words[0], words[0].split("-")[-1]):
        if word in COMMAND_ADVICE:
            return word
    if _verb(words[0], commands) is None and words[1:] and words[1] in COMMAND_ADVICE:
        return words[1]
    return None


def _rewritten(line: list[str], root: click.Group, ctx: click.Context) -> list[str]:
    """Return the line with options that its command has, and with operands if it takes any."""
    name, *rest = line
    command = root.get_command(ctx, name)
    if command is None or "|" in line:
        return line
    rewritten = rewrite_options(rest, options_of(command, root))
    return [name, *(rewritten if takes_operands(command) else without_operands(rewritten, command))]
