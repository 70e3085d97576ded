"""Shell completion: the scripts of the shells, and the words that they offer.

It must never disturb the line; it must not know what any command does.
"""
