"""Probe what a bucket, its server and these credentials can do, for `orchestrator doctor`.

It must not know the command line; a probe of another room is added to the table by who runs it.
"""
