"""`orchestrator run`: the child process, its output, the spool, and the process that stores it.

It must not know how the command line names its options.
"""
