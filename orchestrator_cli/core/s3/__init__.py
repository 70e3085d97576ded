"""One bucket over S3's REST API: credentials, signatures, reads, create-only writes, multipart.

It must not know what the keys mean, where files come from, or who asks.
"""
