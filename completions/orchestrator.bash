# bash completion for orchestrator, written by `orchestrator completion bash`.

_orchestrator_completion() {
    local words=() rest=$COMP_LINE word current=0 i
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#"$word"}
        if ((i == COMP_CWORD)); then current=$((${#words[@]} - 1)); fi
    done

    # $2 is what readline replaces. It keeps an "@" that COMP_WORDS has as a word of its own.
    local typed=${words[current]} before=""
    if [[ $typed == *"$2" ]]; then before=${typed%"$2"}; fi

    local type value help quoted found=() helps=()
    while IFS=, read -r type value; do
        help=""
        if [[ $value == *$'\t'* ]]; then
            help=${value#*$'\t'}
            value=${value%%$'\t'*}
        fi
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        command) mapfile -t found < <(compgen -c -- "$typed") ;;
        plain)
            printf -v quoted '%q' "$value"
            # Inside an open quote only a name that needs no quoting can be completed.
            if [[ $typed != [\"\']* || $quoted == "$value" ]]; then
                found+=("${quoted#"$before"}")
                helps+=("$help")
            fi
            ;;
        esac
    done < <(
        COMP_WORDS="${words[*]}" COMP_CWORD=$current \
            _ORCHESTRATOR_COMPLETE=bash_complete "$1" 2>/dev/null
    )
    # Only where readline lists them: what is inserted must be the name alone.
    if ((${#found[@]} > 1)) && [[ $COMP_TYPE == 33 || $COMP_TYPE == 63 || $COMP_TYPE == 64 ]]; then
        for i in "${!helps[@]}"; do
            if [[ ${helps[i]} ]]; then found[i]+="  (${helps[i]})"; fi
        done
    fi
    COMPREPLY=("${found[@]}")
}

complete -o nosort -F _orchestrator_completion orchestrator
