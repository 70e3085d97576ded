"""What every room stands on: errors, cancellation, retry, limits on memory and rate.

It imports nothing of ours and must not know of HTTP, S3 or executions.
"""
