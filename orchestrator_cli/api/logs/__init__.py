"""Reads stored and growing logs in parts, by byte offset, and searches them.

It must not know HTTP, nor how logs are shown.
"""
