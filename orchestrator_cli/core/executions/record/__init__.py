"""The record of an execution: `metadata.json`, its manifest and its line in the history.

It must not know how files are transferred.
"""
