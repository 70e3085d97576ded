"""What a shell offers while a line is typed: the scripts of the shells, and what they ask for.

It must never disturb the line; it must not know what any command does.
"""
