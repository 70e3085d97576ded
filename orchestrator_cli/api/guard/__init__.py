"""Checks every request before the application sees it: tokens, limits, and one line of log.

It must not know what is served.
"""
