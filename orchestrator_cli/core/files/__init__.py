"""Local trees that others may change while they are read, written or removed.

Everything goes from one open directory to the next and follows no link by accident; it must not
know what the files are for, nor where they are sent.
"""
