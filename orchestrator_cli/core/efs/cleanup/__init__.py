"""Remove from EFS what S3 holds: which files are due, and how each is removed safely.

It must not know how files are stored, nor who calls it.
"""
