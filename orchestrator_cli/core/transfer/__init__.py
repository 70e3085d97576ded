"""Moving bytes between local files, streams and S3: plans, resumable uploads, verified downloads.

It must not know of the terminal, nor of what makes an execution finished.
"""
