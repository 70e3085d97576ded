"""Writes man pages, completions and the reference from the commands themselves.

It is needed for development only and must not be imported by the program.
"""
