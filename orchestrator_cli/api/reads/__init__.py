"""Reads executions and their files, for the API and the pages.

It must not know HTTP.
"""
