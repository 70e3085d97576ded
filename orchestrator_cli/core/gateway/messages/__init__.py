"""The messages between a client and `orchestrator serve`, from which its OpenAPI document is made.

It must not know how either half sends or answers them.
"""
