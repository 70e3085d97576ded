"""The command line: parse options, build what a command needs, print, and choose the exit code.

It must not know S3, HTTP or how anything is stored.
"""
