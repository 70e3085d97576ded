"""The contract with a bench that has no network: its own record, and the files it promises.

It sends nothing, and must not know how files are stored.
"""
