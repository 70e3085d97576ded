"""How long what is kept: lifecycle rules, archived objects, restores, and what storage costs.

It must not know of local files or of how rules are written for other tools.
"""
