"""`orchestrator serve`: the JSON API for programs, and the pages for people.

It must not know the command line.
"""
