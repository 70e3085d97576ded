"""Each S3 operation as a generator that yields requests and is sent their responses.

It must not know who sends the requests, nor whose credentials sign them.
"""
