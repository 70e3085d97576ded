"""What people type: the classes of commands, the types of options, options that many have.

It must not know what any command does; it reads no variable but that of the execution.
"""

from orchestrator_cli.cli.options.command import (
    Command,
    CommandGroup,
    Example,
    OncePerOption,
    command,
    global_options,
)
from orchestrator_cli.cli.options.common import (
    F,
    check_may_write,
    concurrency_option,
    confirm,
    json_option,
    write_to_latest_option,
    yes_option,
)
from orchestrator_cli.cli.options.execution_id import (
    EXECUTION_ID_ENVVAR,
    complete_execution_id,
    complete_file_name,
    complete_id_or_file,
    complete_id_or_path,
    execution_id_argument,
    is_preset_id,
    split_id,
)
from orchestrator_cli.cli.options.types import DURATION, INSTANT, LABEL, SIZE

__all__ = [
    "DURATION",
    "EXECUTION_ID_ENVVAR",
    "INSTANT",
    "LABEL",
    "SIZE",
    "Command",
    "CommandGroup",
    "Example",
    "F",
    "OncePerOption",
    "check_may_write",
    "command",
    "complete_execution_id",
    "complete_file_name",
    "complete_id_or_file",
    "complete_id_or_path",
    "concurrency_option",
    "confirm",
    "execution_id_argument",
    "global_options",
    "is_preset_id",
    "json_option",
    "split_id",
    "write_to_latest_option",
    "yes_option",
]
