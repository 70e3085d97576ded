"""Options and arguments: the classes of commands, the types of options, and shared options.

It must not know what any command does.
"""

from orchestrator_cli.cli.configuration.environment import EXECUTION_ID_VARIABLE
from orchestrator_cli.cli.options.command import (
    Command,
    CommandGroup,
    OncePerOption,
    command,
    global_options,
)
from orchestrator_cli.cli.options.common import (
    DEFAULT_ROOT,
    DEFAULT_WINDOW,
    F,
    add_options,
    check_may_write,
    check_window,
    concurrency_option,
    confirm,
    gather_options,
    json_option,
    limit_rate_option,
    no_op_options,
    root_option,
    window_options,
    write_to_latest_option,
    yes_option,
)
from orchestrator_cli.cli.options.execution_id import (
    complete_command,
    complete_execution_id,
    complete_file_name,
    complete_id_and_file,
    complete_id_or_file,
    complete_id_or_log,
    complete_id_or_path,
    execution_id_argument,
    is_preset_id,
    split_id,
)
from orchestrator_cli.cli.options.help import RESUMES, Example
from orchestrator_cli.cli.options.types import DURATION, INSTANT, LABEL, RESULT, SIZE, WholeNumber

__all__ = [
    "DEFAULT_ROOT",
    "DEFAULT_WINDOW",
    "DURATION",
    "EXECUTION_ID_VARIABLE",
    "INSTANT",
    "LABEL",
    "RESULT",
    "RESUMES",
    "SIZE",
    "Command",
    "CommandGroup",
    "Example",
    "F",
    "OncePerOption",
    "WholeNumber",
    "add_options",
    "check_may_write",
    "check_window",
    "command",
    "complete_command",
    "complete_execution_id",
    "complete_file_name",
    "complete_id_and_file",
    "complete_id_or_file",
    "complete_id_or_log",
    "complete_id_or_path",
    "concurrency_option",
    "confirm",
    "execution_id_argument",
    "gather_options",
    "global_options",
    "is_preset_id",
    "json_option",
    "limit_rate_option",
    "no_op_options",
    "root_option",
    "split_id",
    "window_options",
    "write_to_latest_option",
    "yes_option",
]
