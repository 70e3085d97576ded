"""`orchestrator completion`: the script by which a shell completes commands, IDs and names."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.configuration.environment import completion_path
from orchestrator_cli.cli.options import Example, command
from orchestrator_cli.core.base.errors import CannotWriteError
from orchestrator_cli.core.base.text import printable

# Further steps that a shell may need.
_THEN = {
    "bash": "a new shell reads it where bash-completion is set up; elsewhere, add to ~/.bashrc:\n"
    "  source {path}",
    "fish": "a new shell reads it",
    "zsh": "to make zsh read it, add before `compinit` to ~/.zshrc:\n  fpath=({parent} $fpath)",
}


@command(
    examples=(
        Example("for the shell that is open", 'eval "$(orchestrator completion bash)"'),
        Example("for every new shell", "orchestrator completion zsh --install"),
    ),
    exit_codes=(0, 2),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--install", is_flag=True, help="Write it where the shell looks for it.")
@click.pass_context
@pass_app
def completion(app: App, ctx: click.Context, shell: str, install: bool) -> None:
    """Print the completion script of a shell.

    Commands, options and their values are completed; IDs of the last two weeks with their suite,
    result and age; the names of an execution's logs and files; local files; and, after `--`, the
    command to run. IDs and names come from the bucket, which is asked once; where it does not
    answer, none are offered. --install writes to the directory of this user's completions.
    """
    from orchestrator_cli.cli.completion.shells import render_script
    from orchestrator_cli.core.files.new_file import write_atomically

    script = render_script(ctx.find_root().command, shell)
    if not install:
        app.output.line(script, end="")
        return
    path = completion_path(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [script.encode()], replace=True)
    except OSError as error:
        raise CannotWriteError(f"cannot write {printable(path)}: {error.strerror}") from error
    app.messages.note(f"written to {path}")
    for line in _THEN[shell].format(path=path, parent=path.parent).splitlines():
        app.messages.note(line)
