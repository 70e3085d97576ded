"""Stores the output of test executions in S3."""

__version__ = "0.1.0"
