"""Uploads without AWS credentials: both halves of what a client and `orchestrator serve` say.

It must not know of the web framework or of the command line.
"""
