"""A throw-away S3 server on loopback, for trying everything without an AWS account.

It must not know the commands that are tried on it.
"""
