"""Uploads, reads and live logs without AWS credentials: both halves, client and server.

It must not know of the web framework or of the command line.
"""
