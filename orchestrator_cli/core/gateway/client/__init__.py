"""The client of an `orchestrator serve`, for machines without AWS credentials.

It must not know how the server answers, only the messages.
"""
