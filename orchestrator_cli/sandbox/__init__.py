"""A throw-away S3 on loopback for trying everything with no account.

It must not know the commands that are tried on it.
"""
