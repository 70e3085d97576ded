"""Makes the manual pages of section 7: the texts of text/, with what only the code can say.

It must not know of commands and their options; those pages are made from the commands themselves.
"""
