"""Renders the manual pages of section 7: the texts of text/, filled in with values of the code.

It must not know commands and options; their pages are made from the commands themselves.
"""
