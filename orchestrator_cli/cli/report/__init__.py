"""Reports beside the data: errors and their exit codes, and the summary of a CI job.

It must not know any command.
"""
