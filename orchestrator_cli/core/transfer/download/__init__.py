"""From objects to local files and streams, in ranges, verified and resumed.

It must not know commands, nor how anything was uploaded.
"""
