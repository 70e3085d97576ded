"""`orchestrator serve`: the JSON API for programs.

It must not know the command line.
"""
