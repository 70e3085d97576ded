"""The settings of a command: global options, the config file, and AWS's own settings behind them.

It must not know what any command does with them.
"""

from orchestrator_cli.cli.settings.values import GO_ON_WITHOUT_SETTINGS, Settings

__all__ = ["GO_ON_WITHOUT_SETTINGS", "Settings"]
