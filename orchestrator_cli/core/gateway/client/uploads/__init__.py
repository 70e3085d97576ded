"""Uploads through an `orchestrator serve`: it checks and signs, and bodies go to the storage.

It must not know how an upload goes that has credentials, only the protocol that both fill.
"""
