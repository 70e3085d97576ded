"""Logs through an `orchestrator serve`: read at any byte, followed, and stored while they grow.

It must not know how the server finds a log, or what a reader does with its lines.
"""
