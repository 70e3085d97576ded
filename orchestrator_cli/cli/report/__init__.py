"""What is said beside the data: errors and their codes, usage, the summary of a CI job.

It must not know any command.
"""
