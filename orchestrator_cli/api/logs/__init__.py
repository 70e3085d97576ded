"""Logs by byte offset, for whoever shows a part of a large one.

It must not know HTTP, nor how they are shown.
"""
