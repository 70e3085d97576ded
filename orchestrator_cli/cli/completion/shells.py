"""Shell completion scripts. They ask the program itself, so they know ids and stored names.

Names come from S3 and end up on a command line: each script makes sure that a shell takes them
as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from orchestrator_cli.cli.configuration.environment import COMPLETE_VARIABLE

PROGRAM = "orchestrator"

# click's own script lets the shell expand `*` and `$(…)` in a name, and takes `@latest` for two
# words because bash breaks words at "@", ":" and "=".
_BASH = r"""# bash completion for %(prog_name)s, written by `%(prog_name)s completion bash`.

%(complete_func)s() {
    local words=() rest=$COMP_LINE word current=0 i
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%%%[![:space:]]*}"}
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#"$word"}
        if ((i == COMP_CWORD)); then current=$((${#words[@]} - 1)); fi
    done

    # $2 is what readline replaces. It keeps an "@" that COMP_WORDS has as a word of its own.
    local typed=${words[current]} before=""
    if [[ $typed == *"$2" ]]; then before=${typed%%"$2"}; fi

    local type value help quoted found=() helps=()
    while IFS=, read -r type value; do
        help=""
        if [[ $value == *$'\t'* ]]; then
            help=${value#*$'\t'}
            value=${value%%%%$'\t'*}
        fi
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        command) mapfile -t found < <(compgen -c -- "$typed") ;;
        plain)
            printf -v quoted '%%q' "$value"
            # Inside an open quote only a name that needs no quoting can be completed.
            if [[ $typed != [\"\']* || $quoted == "$value" ]]; then
                found+=("${quoted#"$before"}")
                helps+=("$help")
            fi
            ;;
        esac
    done < <(
        COMP_WORDS="${words[*]}" COMP_CWORD=$current \
            %(complete_var)s=bash_complete "$1" 2>/dev/null
    )
    # Only where readline lists them: what is inserted must be the name alone.
    if ((${#found[@]} > 1)) && [[ $COMP_TYPE == 33 || $COMP_TYPE == 63 || $COMP_TYPE == 64 ]]; then
        for i in "${!helps[@]}"; do
            if [[ ${helps[i]} ]]; then found[i]+="  (${helps[i]})"; fi
        done
    fi
    COMPREPLY=("${found[@]}")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

# click's own script cuts a name at its first comma.
_FISH = r"""# fish completion for %(prog_name)s, written by `%(prog_name)s completion fish`.

function %(complete_func)s
    set -lx %(complete_var)s fish_complete
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    for completion in (%(prog_name)s 2>/dev/null)
        set -l fields (string split --max 1 , -- $completion)
        switch $fields[1]
            case dir
                __fish_complete_directories $COMP_CWORD
            case file
                __fish_complete_path $COMP_CWORD
            case command
                complete -C "$COMP_CWORD"
            case plain
                printf '%%s\n' $fields[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


# As click has it, and what may be run as a command.
_ZSH = ZshComplete.source_template.replace(
    '        elif [[ "$type" == "file" ]]; then\n',
    '        elif [[ "$type" == "command" ]]; then\n'
    "            _command_names -e\n"
    '        elif [[ "$type" == "file" ]]; then\n',
)


class _Bash(BashComplete):
    source_template: ClassVar[str] = _BASH

    # The inherited method runs bash to look at its version.
    def source(self) -> str:
        return ShellComplete.source(self)

    def format_completion(self, item: CompletionItem[str]) -> str:
        help_text = f"\t{' '.join(item.help.split())}" if item.help else ""
        return f"{item.type},{item.value}{help_text}"


class _Zsh(ZshComplete):
    source_template: ClassVar[str] = _ZSH

    def source(self) -> str:
        first, _, rest = super().source().partition("\n")
        return f"{first}\n# Written by `{PROGRAM} completion zsh`.\n{rest}"


class _Fish(FishComplete):
    source_template: ClassVar[str] = _FISH


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": _Bash, "fish": _Fish, "zsh": _Zsh}


def render_script(root: click.Command, shell: str) -> str:
    """Return a shell's completion script."""
    source = SHELLS[shell](root, {}, PROGRAM, COMPLETE_VARIABLE).source()
    return source.rstrip("\n") + "\n"


def register_shells() -> None:
    """Make click answer the shells as these scripts read it."""
    for shell, kind in SHELLS.items():
        add_completion_class(kind, shell)
