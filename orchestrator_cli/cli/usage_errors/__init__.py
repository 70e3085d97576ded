"""Say what is wrong with a line that was typed, and what to type in its place.

The habits from other programs are tables. It must not know any command, and prints nothing itself.
"""
