"""One command a file: parse, call the library, print.

Commands must not import each other.
"""
