"""What every request passes before it is worked on: tokens, limits, one line of log.

It must not know what is served.
"""
