"""One bucket's objects through plain calls: read, write, settings and presigned URLs.

It must not know what the objects mean, nor how many transfers run beside it.
"""
