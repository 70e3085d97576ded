"""Store the spool of a run: follow it, upload it, and finish the execution.

It must not know the command, its streams or the terminal.
"""
