"""Tables, notes, progress and JSON: data to standard output, everything else to standard error.

It must not know any command, nor what is stored; it is the only room that imports rich.
"""

from orchestrator_cli.cli.output.messages import Messages
from orchestrator_cli.cli.output.progress import Progress
from orchestrator_cli.cli.output.standard_output import Output
from orchestrator_cli.cli.output.units import (
    human_count,
    human_dollars,
    human_duration,
    human_error,
    human_size,
    human_time,
    json_name,
    json_time,
)

__all__ = [
    "Messages",
    "Output",
    "Progress",
    "human_count",
    "human_dollars",
    "human_duration",
    "human_error",
    "human_size",
    "human_time",
    "json_name",
    "json_time",
]
