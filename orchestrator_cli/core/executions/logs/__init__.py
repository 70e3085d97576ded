"""The logs of an execution: finding one, its last lines, and what matches in it.

It must not know terminals or pagers.
"""
