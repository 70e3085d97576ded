# fish completion for orchestrator, written by `orchestrator completion fish`.

function _orchestrator_completion
    set -lx _ORCHESTRATOR_COMPLETE fish_complete
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    for completion in (orchestrator 2>/dev/null)
        set -l fields (string split --max 1 , -- $completion)
        switch $fields[1]
            case dir
                __fish_complete_directories $COMP_CWORD
            case file
                __fish_complete_path $COMP_CWORD
            case command
                complete -C "$COMP_CWORD"
            case plain
                printf '%s\n' $fields[2]
        end
    end
end

complete --no-files --command orchestrator --arguments "(_orchestrator_completion)"
