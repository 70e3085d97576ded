"""Logs that are still being written, kept in S3 as segments: writing, reading and salvaging them.

It must not know the terminal, the command that writes the log, or the web.
"""
