"""HTTP over libcurl: one handle that blocks, and a loop of many in one thread.

It must not know S3.
"""
