"""Logs, read in parts by byte offset.

It must not know HTTP, nor how they are shown.
"""
