"""HTTP over libcurl: requests, answers, and typed errors for connections that fail.

It must not know of S3, signatures, credentials or executions.
"""
