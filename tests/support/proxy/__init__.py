"""A recording proxy between a client and an S3 server, and all that can go wrong on the way.

It knows S3's requests, and nothing of the command that sends them.
"""
