"""What on-prem benches leave on EFS: found, stored, and removed once it is safely in S3.

It must not know who calls it, or print anything itself.
"""
