"""Generates man pages, completions and the reference from the commands themselves.

It is a development tool, is not part of the wheel, and must not be imported by the program.
"""
