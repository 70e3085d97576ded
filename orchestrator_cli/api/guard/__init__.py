"""The guard that every request passes: tokens, limits, and one log line.

It must not know what is served.
"""
