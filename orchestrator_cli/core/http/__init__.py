"""HTTP over libcurl: requests, responses, and typed errors for connections that fail.

It must not know of S3, signatures, credentials or executions.
"""
